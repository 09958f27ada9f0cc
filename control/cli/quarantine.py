"""`muster quarantine`: the messages that no worker could understand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from control.cli.options import json_option
from control.cli.session import with_journal
from control.cli.terminal import console, print_json, side_console
from control.durations import moment
from control.run_report import iso
from envelope.ports.journal import Journal


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
def quarantine(limit: int, as_json: bool) -> None:
    """List malformed messages that workers took out of their queues, newest first."""

    async def work(journal: Journal) -> Sequence[Mapping[str, Any]]:
        return await journal.quarantined(limit)

    messages = with_journal(work)
    if as_json:
        print_json({"messages": [{**row, "at": iso(row["at"])} for row in messages]})
    elif messages:
        console().print(_table(messages))
    else:
        side_console().print("No message was quarantined.")


def _table(messages: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("when", "queue", "reason"):
        table.add_column(name, no_wrap=True)
    table.add_column("bytes", justify="right", no_wrap=True)
    table.add_column("beginning", overflow="fold")
    for row in messages:
        told = [moment(row["at"]), row["queue"], row["reason"], f"{row['size']:,}", row["excerpt"]]
        table.add_row(*(escape(cell) for cell in told))
    return table
