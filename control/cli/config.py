"""`muster config show`."""

from __future__ import annotations

from dataclasses import asdict

import click
from rich.markup import escape
from rich.table import Table

from control.cli.options import json_option
from control.cli.terminal import console, print_json, side_console
from worker.settings import Settings


@click.group()
def config() -> None:
    """Show the settings."""


@config.command()
@json_option
def show(as_json: bool) -> None:
    """Show every setting, its value with secrets masked, and where the value comes from."""
    settings = Settings.load()
    rows, unknown = settings.described(), settings.unknown_variables()
    if as_json:
        print_json(
            {
                "settings": [asdict(row) for row in rows],
                "unknown": [asdict(variable) for variable in unknown],
            }
        )
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("setting", "value", "from"):
        table.add_column(name, overflow="fold")
    table.add_column("meaning", style="dim")
    for row in rows:
        table.add_row(
            row.variable, escape(row.value or row.default), row.source, escape(row.description)
        )
    console().print(table)
    for variable in unknown:
        side_console().print(f"[yellow]{escape(str(variable))}[/]")
