"""Writes what ties runs to others: waits, signals, singleton keys, families, replays.

Apart from the rest, because a plain run has none of it and shall pay for none of it.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, update

from worker.journal.changes import Changes
from worker.journal.rows import RunRow
from worker.journal.tables import runs, signals, singletons, waits
from worker.journal.waits import waits_text

_TIES = (
    "waits",
    "wake_at",
    "replayed_as",
    "signals",
    "children",
    "awaited",
    "unasked",
    "cancel_epoch",
)
_TIE_RUN = (
    update(runs)
    .where(runs.c.run_id == bindparam("at_run"))
    .values({name: bindparam(name) for name in _TIES})
)
_TAKE_KEY = (
    update(singletons)
    .where(singletons.c.key == bindparam("at_key"))
    .values(run_id=bindparam("run"))
)
_INSERT_SIGNAL = insert(signals)
_INSERT_WAIT = insert(waits)
_FORGET_WAIT = (
    delete(waits)
    .where(waits.c.awaited_id == bindparam("awaited_id"))
    .where(waits.c.run_id == bindparam("run_id"))
)


def write_ties(connection: Connection, changes: Changes) -> None:
    """Write every tie that changed. Runs that were accepted now have theirs already."""
    tied = [row for name, row in changes.ties.items() if name not in changes.accepted]
    _many(connection, _TIE_RUN, [{"at_run": row.run_id, **tie_values(row)} for row in tied])
    _many(connection, _INSERT_SIGNAL, [entry._asdict() for entry in changes.signals])
    _many(connection, _INSERT_WAIT, [entry._asdict() for entry in changes.new_waits])
    _many(connection, _FORGET_WAIT, [entry._asdict() for entry in changes.told_waits])
    taken = [{"at_key": key, "run": run_id} for key, run_id in changes.taken_keys.items()]
    _many(connection, _TAKE_KEY, taken)


def tie_values(row: RunRow) -> dict[str, Any]:
    """Return the columns that tie a run to others."""
    return {
        "waits": waits_text(row.waits),
        "wake_at": row.waits.until if row.waits is not None else None,
        "replayed_as": row.replayed_as,
        "signals": row.signals,
        "children": row.children,
        "awaited": row.awaited,
        "unasked": row.unasked,
        "cancel_epoch": row.cancel_epoch,
    }


def _many(connection: Connection, statement: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(statement, rows)
