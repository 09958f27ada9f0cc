"""Dead letters as a person reads them."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from control.cli.run_view import (
    cut,
    facts_table,
    failure_text,
    runs_table,
    seconds_text,
    state_text,
    time_text,
)
from control.dead_letters import Outcome, Replayed
from control.failure_report import FailureReport
from envelope.ports.journal_rows import FailureGroup

_NO_FINGERPRINT = "(none)"
_ENDING = 12
_COLOURS = {
    Outcome.REPLAYED: "green",
    Outcome.JOINED: "green",
    Outcome.SKIPPED: "yellow",
    Outcome.REFUSED: "red",
    Outcome.PLANNED: "cyan",
}


def groups_table(groups: Iterable[FailureGroup]) -> Table:
    """Return a table of causes."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("fingerprint", "flow", "state", "code"):
        table.add_column(name, no_wrap=True)
    table.add_column("runs", justify="right", no_wrap=True)
    for name in ("last", "newest run"):
        table.add_column(name, no_wrap=True)
    table.add_column("message", overflow="fold")
    for group in groups:
        table.add_row(
            group.fingerprint or _NO_FINGERPRINT,
            escape(group.flow),
            state_text(group.state),
            escape(group.code),
            f"{group.count:,}",
            time_text(group.last_at),
            group.example[-_ENDING:],
            escape(cut(group.message)),
        )
    return table


def print_failure(console: Console, report: FailureReport) -> None:
    """Print a cause: its groups and runs, then one run's failed step and trace."""
    if report.groups:
        console.print(groups_table(report.groups))
        console.print("\n[bold]Runs that were not replayed[/]")
        console.print(runs_table(report.runs))
        console.print()
    run = report.run
    console.print(f"[bold]{run.run_id}[/]  {state_text(run.state)}")
    console.print(facts_table(_facts(report)))
    if report.failure is not None:
        console.print(f"\n{failure_text(report.failure)}")
    if run.trace:
        console.print(f"[dim]{escape(run.trace)}[/]")
    if run.replayed_as is None:
        console.print(f"[dim]Try it again: muster dead replay {run.run_id}[/]")


def replayed_line(one: Replayed) -> str:
    """Return what became of a dead letter, as one line."""
    outcome = f"[{_COLOURS[one.outcome]}]{one.outcome.value:<9}[/]"
    as_run = f" as {one.replayed_as}" if one.replayed_as else ""
    why = f": {escape(one.message)}" if one.message else ""
    notice = f" [yellow]({escape(one.notice)})[/]" if one.notice else ""
    return f"{outcome} {one.run_id} [dim]{escape(one.flow)}[/]{as_run}{why}{notice}"


def _facts(report: FailureReport) -> dict[str, str | None]:
    run, step = report.run, report.step
    facts: dict[str, str | None] = {
        "flow": f"{run.flow} v{run.version}",
        "finished": time_text(run.finished_at),
        "losses": str(run.losses) if run.losses else None,
        "child of": run.parent_id,
        "replayed as": run.replayed_as,
        "payload": cut(run.payload),
    }
    if step is None:
        return facts
    tried = ", ".join(
        f"{one.attempt} {one.outcome} {seconds_text(one.seconds)} on {one.executor}"
        for one in report.attempts
    )
    return {
        **facts,
        "step": f"{step.step} ({step.agent})",
        "attempts": tried,
        "step lost": f"{step.losses} times" if step.losses else None,
        "input": cut(step.input),
    }
