"""What the demo prints at its end: the table, one draft with its provenance, totals, what next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from control.cli.explain import lineage_tree
from control.cli.run_view import failure_text, seconds_text, state_text
from control.demo.totals import Totals
from control.lineage import Lineage
from control.outcome import failure_of
from control.run_report import seconds_of
from envelope.ports.journal_rows import Run, RunState, Step
from envelope.record import Record

_SHOWN = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A run of the campaign with its lead, and its draft where there is one."""

    run: Run
    lead: Mapping[str, Any]
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The draft that is shown in full, with its lineage."""

    draft: Record
    lineage: Lineage

    @classmethod
    def of(cls, run: Run, steps: Sequence[Step]) -> Sample | None:
        """Return the sample of a run, or None where it holds no draft."""
        lineage = Lineage.of(run, steps)
        draft = draft_of(lineage)
        return cls(draft=draft, lineage=lineage) if draft is not None else None


def draft_of(lineage: Lineage) -> Record | None:
    """Return the record that is an e-mail."""
    records = (known.record for known in lineage.records.values())
    return next((record for record in records if {"subject", "body"} <= record.data.keys()), None)


def print_table(console: Console, results: Sequence[Result]) -> None:
    """Print the first results, and every run that did not succeed."""
    unhappy = [result for result in results if result.run.state is not RunState.SUCCEEDED]
    happy = [result for result in results if result.run.state is RunState.SUCCEEDED]
    table = Table(title="Results", title_justify="left", header_style="bold", expand=False)
    table.add_column("company", overflow="fold")
    table.add_column("sector", overflow="fold")
    table.add_column("subject", overflow="fold")
    table.add_column("took", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for result in (*unhappy[:_SHOWN], *happy[:_SHOWN]):
        table.add_row(
            escape(str(result.lead.get("company", ""))),
            escape(str(result.lead.get("sector") or "")),
            escape(result.subject),
            seconds_text(seconds_of(result.run)),
            state_text(result.run.state),
        )
    console.print(table)
    hidden = len(results) - min(len(unhappy), _SHOWN) - min(len(happy), _SHOWN)
    if hidden:
        console.print(f"[dim]… and {hidden} more[/]")


def print_sample(console: Console, sample: Sample) -> None:
    """Print one draft in full, and where every sentence of it comes from."""
    data, made = sample.draft.data, sample.draft.provenance
    title = f"One draft in full: {escape(str(data.get('company', '')))}"
    console.print()
    console.print(
        Panel(
            f"[bold]Subject: {escape(str(data['subject']))}[/]\n\n{escape(str(data['body']))}",
            title=title,
            title_align="left",
            subtitle=f"[dim]model: {escape(made.model or 'none')}[/]",
            subtitle_align="left",
        )
    )
    console.print("[bold]Where it comes from[/]")
    console.print(lineage_tree(sample.lineage.ancestry(sample.draft.id)))


def print_totals(console: Console, totals: Totals) -> None:
    """Print the sums."""
    usage = totals.usage
    models = ", ".join(totals.models) or "none"
    facts = {
        "runs": f"{totals.runs}: "
        + ", ".join(f"{count} {state_text(state)}" for state, count in totals.states.items()),
        "steps": f"{totals.steps:,} committed",
        "time": f"{totals.seconds:,.1f} s from the first start to the last end, "
        f"{totals.runs_per_second:,.1f} runs/s",
        "tokens": f"{usage.input_tokens:,} in, {usage.output_tokens:,} out "
        f"in {usage.requests:,} model calls",
        "cost": f"${usage.cost_usd:,.4f}",
        "model": escape(models),
    }
    table = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        table.add_row(f"[dim]{name}[/]", value)
    console.print("\n[bold]Totals[/]")
    console.print(table)
    if "offline" in models:
        console.print(
            "[dim]No model was called: the offline model composed each text from the retrieved "
            "passages. Set OPENAI_API_KEY or OPENAI_BASE_URL to use a real one.[/]"
        )


def print_failures(console: Console, runs: Sequence[Run], totals: Totals) -> None:
    """Print why runs failed, once per code."""
    for code, count in totals.failures.most_common():
        failures = (failure_of(run) for run in runs)
        first = next(failure for failure in failures if failure and failure.code == code)
        console.print(f"{count} times {failure_text(first)}")


def next_commands(run: Run, record: str | None) -> dict[str, str]:
    """Return the commands that look deeper, each with what it shows."""
    return {
        f"muster runs show {run.run_id}": "steps, attempts, events of that run",
        f"muster runs explain {run.run_id} {(record or '')[:12]}".rstrip(): "a record's lineage",
        "muster runs list --limit 5": "the newest runs",
        "muster demo --new": "all of it again",
    }


def print_next(console: Console, prefix: str, commands: Mapping[str, str]) -> None:
    """Print what to look at next. `prefix` sets what the commands need in the environment."""
    console.print("\n[bold]Where to look next[/]")
    print_commands(console, prefix, commands)


def print_commands(console: Console, prefix: str, commands: Mapping[str, str]) -> None:
    """Print commands, each with its meaning."""
    for command, meaning in commands.items():
        line = f"  {escape(prefix)}[bold]{escape(command)}[/]  [dim]{meaning}[/]"
        console.print(line, soft_wrap=True)
