"""`muster locks`: the locks that are held, by whom, since when, what for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from control.cli.options import json_option
from control.cli.session import with_backend
from control.cli.terminal import console, print_json, side_console
from control.durations import span
from control.run_report import iso
from envelope.ports.locks import LockInfo
from worker.backend import Backend


@click.command()
@json_option
def locks(as_json: bool) -> None:
    """List every lock that is held: its owner, its age, when it lapses, what for."""

    async def work(backend: Backend) -> Sequence[LockInfo]:
        return await backend.locks.held()

    held = with_backend(work)
    if as_json:
        print_json({"locks": [_lock_json(lock) for lock in held]})
    elif held:
        console().print(_table(held))
    else:
        side_console().print("No lock is held.")


def _lock_json(lock: LockInfo) -> dict[str, Any]:
    return {
        "key": lock.key,
        "owner": lock.owner,
        "holder": lock.holder,
        "since": iso(lock.since),
        "expires_in": round(lock.expires_in, 3),
        "why": lock.why,
        "fence": lock.fence,
        "metadata": dict(lock.metadata),
    }


def _table(held: Iterable[LockInfo]) -> Table:
    now = time.time()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("key", "owner", "holder"):
        table.add_column(name, overflow="fold")
    for name in ("held for", "lapses in", "fence"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for lock in held:
        table.add_row(
            escape(lock.key),
            escape(lock.owner),
            escape(lock.holder),
            span(now - lock.since),
            span(lock.expires_in),
            str(lock.fence),
            escape(lock.why),
        )
    return table
