"""A run as a person reads it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from control.outcome import failure_of
from control.run_report import MOST_CHILDREN, WORK_KINDS, RunReport, seconds_of
from envelope.failure import Failure
from envelope.ports.journal_rows import (
    Attempt,
    Event,
    Run,
    RunState,
    Step,
)

_COLOURS = {
    "queued": "cyan",
    "running": "blue",
    "waiting": "magenta",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "yellow",
    "dead": "red",
}
_DATA_WIDTH = 100
_ENDING = 12


def state_text(state: str) -> str:
    """Return a state in its colour."""
    return f"[{_COLOURS.get(str(state), 'white')}]{state}[/]"


def seconds_text(seconds: float | None) -> str:
    """Return a duration: milliseconds below one second, else seconds."""
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:,.1f} s"


def time_text(at: float | None) -> str:
    """Return a time in the reader's own time zone."""
    if at is None:
        return ""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def runs_table(runs: Iterable[Run]) -> Table:
    """Return a table of runs."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "flow", "state", "created"):
        table.add_column(name, no_wrap=True)
    for name in ("took", "steps"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("user / key / tags", overflow="fold")
    for run in runs:
        table.add_row(
            run.run_id,
            escape(f"{run.flow} v{run.version}"),
            state_text(run.state),
            time_text(run.created_at),
            seconds_text(seconds_of(run)),
            str(run.steps_done),
            escape(_labels(run)),
        )
    return table


def print_run(console: Console, report: RunReport, reasons: Sequence[str] = ()) -> None:
    """Print a run: its facts, its steps, children and events, its envelope or failure.

    Args:
        console: Where to.
        report: The run.
        reasons: Why it does not move.
    """
    run = report.run
    console.print(f"[bold]{run.run_id}[/]  {state_text(run.state)}")
    console.print(facts_table({**_facts(run, report.spent), "why": "\n".join(reasons)}))
    steps = [step for step in report.steps if step.kind in WORK_KINDS]
    if steps:
        console.print("\n[bold]Steps[/]")
        console.print(_steps_table(steps, report))
    if report.children:
        most = f", the newest {MOST_CHILDREN}" if len(report.children) == MOST_CHILDREN else ""
        console.print(f"\n[bold]Children[/]{most}")
        console.print(runs_table(report.children))
    console.print("\n[bold]Events[/]")
    for event in report.events:
        console.print(event_line(event))
    _print_outcome(console, run)


def event_line(event: Event) -> str:
    """Return an event as one line."""
    data = json.loads(event.data)
    more = "  ".join(f"{name}={_plain(value)}" for name, value in data.items() if value is not None)
    at = datetime.fromtimestamp(event.at).astimezone().strftime("%H:%M:%S.%f")[:-3]
    step = f" [bold]{escape(event.step)}[/]" if event.step else ""
    return (
        f"[dim]{event.number:>4}  {at}[/]  {escape(event.type):<15}{step}  [dim]{escape(more)}[/]"
    )


def failure_text(failure: Failure) -> str:
    """Return a failure as one line."""
    where = f" in step {failure.step} ({failure.agent})" if failure.step else ""
    return f"[red]{escape(failure.code)}[/]{escape(where)}: {escape(failure.message)}"


def facts_table(facts: Mapping[str, str | None]) -> Table:
    """Return names and values, those that have one."""
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        if value:
            table.add_row(f"[dim]{name}[/]", escape(value))
    return table


def _facts(run: Run, spent: tuple[int, float]) -> dict[str, str | None]:
    return {
        "flow": f"{run.flow} v{run.version}",
        "source": run.source,
        "user": run.user,
        "thread": run.thread,
        "key": run.key,
        "tags": "  ".join(f"{name}={value}" for name, value in run.tags.items()),
        "created": time_text(run.created_at),
        "started": time_text(run.started_at),
        "finished": time_text(run.finished_at),
        "took": seconds_text(seconds_of(run)),
        "worker": run.owner,
        "losses": str(run.losses) if run.losses else None,
        "singleton": run.singleton,
        "child of": run.parent_id,
        "replay of": run.replay_of,
        "replayed as": run.replayed_as,
        "budget": _budget(run),
        "spent": _amount(*spent),
        "cancelled": run.cancel_reason,
        "payload": cut(run.payload),
    }


def _budget(run: Run) -> str | None:
    shared = " (its parents')" if run.parent_id else ""
    limit = _amount(run.budget_tokens, run.budget_usd)
    return f"{limit}{shared}" if limit else None


def _amount(tokens: int | None, usd: float | None) -> str | None:
    parts = (f"{tokens:,} tokens" if tokens else None, f"${usd:,.4f}" if usd else None)
    return ", ".join(part for part in parts if part) or None


def _steps_table(steps: Sequence[Step], report: RunReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("step", "agent", "state", "where"):
        table.add_column(name, no_wrap=True)
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("attempts", overflow="fold")
    for step in steps:
        table.add_row(
            escape(step.step),
            escape(step.agent),
            state_text(step.state),
            "inline" if step.inline else f"agent.{step.agent}",
            seconds_text(seconds_of(step)),
            escape(_attempts_text(report.attempts_of(step.step))),
        )
    return table


def _attempts_text(attempts: Sequence[Attempt]) -> str:
    return ", ".join(
        f"{attempt.attempt} {attempt.outcome} {seconds_text(attempt.seconds)}".rstrip()
        for attempt in attempts
    )


def _print_outcome(console: Console, run: Run) -> None:
    failure = failure_of(run)
    if failure is not None:
        console.print(f"\n{failure_text(failure)}")
        if run.trace and run.state is not RunState.CANCELLED:
            console.print(f"[dim]{escape(run.trace)}[/]")
    if run.envelope is None:
        return
    envelope = json.loads(run.envelope)  # masked: its hashes need not fit any more
    records, error = envelope["records"], envelope["error"]
    console.print(f"\n[bold]Envelope[/]  {envelope['status']}, {len(records)} records")
    if error is not None and failure is None:
        console.print(failure_text(Failure.model_validate(error)))
    for record in records:
        console.print(
            f"  [bold]{record['id']}[/]  [dim]{escape(record['provenance']['source'])}[/]"
        )
        for name, value in record["data"].items():
            console.print(f"    [dim]{escape(name)}:[/] {escape(cut(_plain(value)))}")
    if records:
        console.print(f"[dim]Where it comes from: muster runs explain {run.run_id}[/]")


def _labels(run: Run) -> str:
    tags = [f"{name}={value}" for name, value in run.tags.items()]
    key = f"replay of …{run.replay_of[-_ENDING:]}" if run.replay_of else run.key
    return "  ".join(part for part in (run.user, key, *tags) if part)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cut(text: str) -> str:
    """Return the beginning of a text, as much as a line has room for."""
    return text if len(text) <= _DATA_WIDTH else f"{text[: _DATA_WIDTH - 1]}…"
