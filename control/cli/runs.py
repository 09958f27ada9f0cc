"""`muster runs …`: what happened, and what happens."""

from __future__ import annotations

from collections.abc import Sequence

import click

from control.async_client import AsyncMuster
from control.cli.explain import explain
from control.cli.group import EXIT_RUN_FAILED
from control.cli.options import json_option, parsed_tags, tag_option
from control.cli.run_view import event_line, failure_text, print_run, runs_table, state_text
from control.cli.session import with_backend, with_client, with_journal
from control.cli.steer import cancel, retry, signal
from control.cli.terminal import console, print_json, print_json_line, side_console
from control.outcome import failure_of, has_ended
from control.run_lookup import find_run
from control.run_report import RunReport, event_json, run_json
from control.shown import Shown
from control.surroundings import Surroundings
from control.why import why
from envelope.errors import QueueUnavailable
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Run, RunFilter, RunState


@click.group()
def runs() -> None:
    """List, show, watch, cancel, signal, retry, explain runs.

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
@click.option("--parent", metavar="RUN", help="Only children of this run.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@click.option("--before", metavar="RUN", help="Only runs older than this one.")
@json_option
def list_runs(
    states: tuple[str, ...],
    flow: str | None,
    tags: tuple[str, ...],
    parent: str | None,
    limit: int,
    before: str | None,
    as_json: bool,
) -> None:
    """List runs, newest first."""
    labels = parsed_tags(tags)

    async def work(journal: Journal) -> Sequence[Run]:
        older = (await find_run(journal, before)).run_id if before else None
        parent_id = (await find_run(journal, parent)).run_id if parent else None
        which = RunFilter(
            states=frozenset(map(RunState, states)),
            flow=flow,
            tags=labels,
            parent_id=parent_id,
            before=older,
            limit=limit,
        )
        return await journal.runs(which)

    found = Shown.by_settings().rows(with_journal(work))
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
    """Show a run: state, times, steps with their attempts, children, events, envelope.

    Of a run that has not ended it also says why it does not move.
    """

    async def work(journal: Journal) -> RunReport:
        return await RunReport.read(journal, await find_run(journal, run))

    report = with_journal(work)
    reasons = [] if has_ended(report.run) else _why(report.run)
    if as_json:
        print_json({**report.to_json(), "why": " ".join(reasons) or None})
    else:
        print_run(console(), report, reasons)


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
        out, shown = console(), Shown.by_settings()
        async for each in found.events(after):
            event = shown.row(each)
            if as_json:
                print_json_line(event_json(event))
            else:
                out.print(event_line(event), soft_wrap=True)
        return shown.row(await found.row())

    ended = with_client(work)
    if not as_json:
        failure = failure_of(ended)
        why = f": {failure_text(failure)}" if failure else ""
        side_console().print(f"Run {ended.run_id} {state_text(ended.state)}{why}")
    if ended.state is not RunState.SUCCEEDED:
        ctx.exit(EXIT_RUN_FAILED)


for command in (cancel, signal, retry, explain):
    runs.add_command(command)


def _why(run: Run) -> list[str]:
    """Ask Redis too, if there is one: permits, locks and queues are there."""
    try:
        return with_backend(lambda backend: why(Surroundings.of(backend), run))
    except QueueUnavailable:
        return with_journal(lambda journal: why(Surroundings(journal=journal), run))
