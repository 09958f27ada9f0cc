"""`muster runs cancel|signal|retry`: how to step in."""

from __future__ import annotations

import click
from rich.markup import escape

from control.async_client import AsyncMuster
from control.cli.options import json_option, keep_options, parsed_data
from control.cli.run_view import state_text
from control.cli.session import with_client
from control.cli.terminal import console, print_json
from control.run_report import run_json
from control.shown import Shown
from envelope.errors import InvalidInput
from envelope.ports.journal_rows import Run, RunState, Signalled


@click.command()
@click.argument("run")
@click.option("--reason", default="cancelled from the terminal", show_default=True)
@json_option
def cancel(run: str, reason: str, as_json: bool) -> None:
    """Cancel a run and all that it started.

    One that is running stops as soon as its worker has stopped its agents; one that waits as soon
    as a worker has let it compensate.
    """

    async def work(client: AsyncMuster) -> Run:
        found = await client.get(run)
        before = await found.status()
        if before in {RunState.SUCCEEDED, RunState.FAILED, RunState.DEAD}:
            raise InvalidInput(
                f"Run {found.id} has ended already: it is {before.value}. "
                f"`muster runs retry {found.id}` repeats it."
            )
        await found.cancel(reason)
        return await found.row()

    found = with_client(work)
    if as_json:
        print_json(run_json(Shown.by_settings().row(found)))
        return
    asked = found.state is not RunState.CANCELLED
    what = "is asked to stop" if asked else state_text(found.state)
    console().print(f"Run [bold]{found.run_id}[/] {what}.")


@click.command()
@click.argument("run")
@click.argument("name")
@click.option(
    "--data", default="null", metavar="JSON|@FILE|-", help="What comes with it; - reads stdin."
)
@json_option
def signal(run: str, name: str, data: str, as_json: bool) -> None:
    """Send signal NAME to a run, whose flow gets it from ctx.wait_for(NAME).

    One that comes before the flow asks for it is kept.
    """
    value = parsed_data(data)

    async def work(client: AsyncMuster) -> Signalled:
        return await (await client.get(run)).signal(name, value)

    sent = with_client(work)
    if as_json:
        print_json(
            {
                "run_id": sent.run.run_id,
                "status": sent.run.state.value,
                "signal": name,
                "number": sent.number,
                "woken": sent.woken,
            }
        )
        return
    effect = "woken by it" if sent.woken else state_text(sent.run.state)
    console().print(f"Signal {sent.number} of run [bold]{sent.run.run_id}[/], which is {effect}.")


@click.command()
@click.argument("run")
@keep_options
@json_option
def retry(run: str, from_step: str | None, keep: bool, as_json: bool) -> None:
    """Repeat a run that has ended, as a new run.

    Steps that succeeded are taken over with their results, so that nobody pays twice.
    """

    async def work(client: AsyncMuster) -> tuple[Run, str]:
        source = (await client.get(run)).id
        return await (await client.retry(source, from_step=from_step, keep=keep)).row(), source

    made, source = with_client(work)
    if as_json:
        print_json(run_json(Shown.by_settings().row(made)))
        return
    repeats = f"it repeats {source}{_extent(from_step, keep)}"
    stands = f"it is active already and stands for {source}"
    how = repeats if made.replay_of == source else stands
    console().print(f"Run [bold]{made.run_id}[/] is {state_text(made.state)}; {how}.")


def _extent(from_step: str | None, keep: bool) -> str:
    if from_step is not None:
        return f" from step {escape(from_step)} on"
    return " but for the steps that succeeded" if keep else " from scratch"
