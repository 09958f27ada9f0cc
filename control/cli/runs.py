"""`muster runs …`: what happened, what happens, and how to step in."""

from __future__ import annotations

from collections.abc import Sequence

import click

from control.async_client import AsyncMuster
from control.cli.explain import explain
from control.cli.group import EXIT_RUN_FAILED
from control.cli.options import json_option, parsed_tags, tag_option
from control.cli.run_view import event_line, failure_text, print_run, runs_table, state_text
from control.cli.session import with_client, with_journal
from control.cli.terminal import console, print_json, print_json_line, side_console
from control.outcome import failure_of
from control.retry import retry_run
from control.run_lookup import find_run
from control.run_report import RunReport, event_json, run_json
from envelope.errors import InvalidInput
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Run, RunFilter, RunState


@click.group()
def runs() -> None:
    """List, show, watch, cancel, retry, explain runs.

    RUN is a run's id, or a beginning or ending of it that no other run has.
    """


@runs.command("list")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in RunState]),
    help="Only runs in this state; repeat for several.",
)
@click.option("--flow", help="Only runs of this flow.")
@tag_option
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", metavar="RUN", help="Only runs older than this one.")
@json_option
def list_runs(
    states: tuple[str, ...],
    flow: str | None,
    tags: tuple[str, ...],
    limit: int,
    before: str | None,
    as_json: bool,
) -> None:
    """List runs, newest first."""
    labels = parsed_tags(tags)

    async def work(journal: Journal) -> Sequence[Run]:
        older = (await find_run(journal, before)).run_id if before else None
        which = RunFilter(
            states=frozenset(map(RunState, states)),
            flow=flow,
            tags=labels,
            before=older,
            limit=limit,
        )
        return await journal.runs(which)

    found = with_journal(work)
    if as_json:
        print_json({"runs": [run_json(run) for run in found]})
    elif found:
        console().print(runs_table(found))
    else:
        side_console().print("No runs. Start one with `muster enqueue FLOW` or `muster demo`.")


@runs.command()
@click.argument("run")
@json_option
def show(run: str, as_json: bool) -> None:
    """Show a run: state, times, steps with their attempts, events, envelope."""

    async def work(journal: Journal) -> RunReport:
        return await RunReport.read(journal, await find_run(journal, run))

    report = with_journal(work)
    if as_json:
        print_json(report.to_json())
    else:
        print_run(console(), report)


@runs.command()
@click.argument("run")
@click.option("--after", type=click.IntRange(0), default=0, help="Only events after this number.")
@json_option
@click.pass_context
def watch(ctx: click.Context, run: str, after: int, as_json: bool) -> None:
    """Print a run's events as they come, until it has ended; with --json one object a line.

    Exits with 1 when the run did not succeed.
    """

    async def work(client: AsyncMuster) -> Run:
        found = await client.get(run)
        out = console()
        async for event in found.events(after):
            if as_json:
                print_json_line(event_json(event))
            else:
                out.print(event_line(event), soft_wrap=True)
        return await found.row()

    ended = with_client(work)
    if not as_json:
        failure = failure_of(ended)
        why = f": {failure_text(failure)}" if failure else ""
        side_console().print(f"Run {ended.run_id} {state_text(ended.state)}{why}")
    if ended.state is not RunState.SUCCEEDED:
        ctx.exit(EXIT_RUN_FAILED)


@runs.command()
@click.argument("run")
@click.option("--reason", default="cancelled from the terminal", show_default=True)
@json_option
def cancel(run: str, reason: str, as_json: bool) -> None:
    """Cancel a run. One that is running stops as soon as its worker has stopped its agents."""

    async def work(client: AsyncMuster) -> Run:
        found = await client.get(run)
        before = await found.status()
        if before in {RunState.SUCCEEDED, RunState.FAILED, RunState.DEAD}:
            raise InvalidInput(f"Run {found.id} has ended already: it is {before.value}.")
        await found.cancel(reason)
        return await found.row()

    found = with_client(work)
    if as_json:
        print_json(run_json(found))
        return
    asked = found.state is not RunState.CANCELLED
    what = "is asked to stop" if asked else state_text(found.state)
    console().print(f"Run [bold]{found.run_id}[/] {what}.")


@runs.command()
@click.argument("run")
@json_option
def retry(run: str, as_json: bool) -> None:
    """Enqueue a new run with the flow and payload of a run that has ended.

    The new run carries the tag retry_of with the id of the old one, and no idempotency key.
    """

    async def work(client: AsyncMuster) -> Run:
        found = await client.get(run)
        return await (await retry_run(await client.manager(), await found.row())).row()

    made = with_client(work)
    if as_json:
        print_json(run_json(made))
    else:
        console().print(
            f"Run [bold]{made.run_id}[/] is {state_text(made.state)}; "
            f"it repeats {made.tags['retry_of']}."
        )


runs.add_command(explain)
