"""What commands print with: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console

_PLAIN_WIDTH = 160


def console() -> Console:
    """Return stdout for people."""
    return _console(stderr=False)


def side_console() -> Console:
    """Return stderr, for progress and hints."""
    return _console(stderr=True)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_json_line(value: Any) -> None:
    """Print one JSON document on one line of stdout, at once."""
    click.echo(json.dumps(value, ensure_ascii=False))


def _console(*, stderr: bool) -> Console:
    """Where no terminal says how wide it is, lines are broken seldom."""
    found = Console(stderr=stderr, highlight=False)
    if found.is_terminal:
        return found
    return Console(stderr=stderr, highlight=False, width=_PLAIN_WIDTH)
