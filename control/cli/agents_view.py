"""Agents and their permits as a person reads them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from control.agent_report import AgentReport
from control.durations import span
from envelope.ports.journal_rows import AgentLimit

_MOST_TOLD = 10


def agents_table(agents: Sequence[AgentReport]) -> Table:
    """Return a table of agents; `*` marks what was set at run time."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("agent", no_wrap=True)
    for name in ("limit", "held", "waiting"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("rate", no_wrap=True)
    table.add_column("steps run", no_wrap=True)
    table.add_column("workers", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for agent in agents:
        table.add_row(
            escape(agent.agent),
            _marked("?" if agent.limit is None else f"{agent.limit:,}", agent.limit_set),
            f"{len(agent.holders):,}",
            f"{len(agent.waiters):,}",
            _marked(escape(agent.rate or ""), agent.rate_set) + _bucket_text(agent),
            {True: "inline", False: f"agent.{agent.agent}", None: ""}[agent.inline],
            f"{len(agent.workers):,}",
            escape(agent.why or ""),
        )
    return table


def print_queues(console: Console, agents: Sequence[AgentReport]) -> None:
    """Print who holds and who waits, of each agent that has any."""
    now = time.time()
    for agent in agents:
        if not (agent.holders or agent.waiters):
            continue
        console.print(f"\n[bold]{escape(agent.agent)}[/]")
        table = Table.grid(padding=(0, 2))
        for holder in agent.holders[:_MOST_TOLD]:
            table.add_row(
                "[green]holds[/]",
                holder.run_id,
                escape(holder.step),
                f"for {span(now - holder.since)}",
                f"on {escape(holder.worker)}",
            )
        _add_rest(table, len(agent.holders), "holds")
        for waiter in agent.waiters[:_MOST_TOLD]:
            table.add_row(
                f"[yellow]waits {waiter.place}[/]",
                waiter.run_id,
                escape(waiter.step),
                f"for {span(now - waiter.since)}",
                f"tenant {escape(waiter.tenant)}, priority {waiter.priority}",
            )
        _add_rest(table, len(agent.waiters), "waits")
        console.print(table)


def limit_text(limit: AgentLimit) -> str:
    """Return what was set for an agent, as one line."""
    set_now = [
        f"concurrency {limit.concurrency:,}" if limit.concurrency is not None else None,
        f"rate {escape(limit.rate)}" if limit.rate is not None else None,
    ]
    told = ", ".join(part for part in set_now if part)
    return f"Agent [bold]{escape(limit.agent)}[/]: {told or 'as registered'}."


def _add_rest(table: Table, number: int, what: str) -> None:
    if number > _MOST_TOLD:
        table.add_row(f"[dim]{what}[/]", f"[dim]and {number - _MOST_TOLD:,} more[/]")


def _marked(text: str, is_set: bool) -> str:
    return f"{text}*" if is_set else text


def _bucket_text(agent: AgentReport) -> str:
    if agent.bucket is None:
        return ""
    if agent.bucket.paused_seconds > 0:
        return f" [yellow]paused {span(agent.bucket.paused_seconds)}[/]"
    return f" [dim]({agent.bucket.level:,.0f} left)[/]"
