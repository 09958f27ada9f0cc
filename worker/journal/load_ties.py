"""Loads what ties the runs of a batch to others: signals, waits, singleton keys."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from worker.journal.book import Book, Needs
from worker.journal.load_singletons import lock_singletons
from worker.journal.matching import any_of, pair_of
from worker.journal.tables import signals, waits

_SIGNALS = (
    select(signals.c.run_id, signals.c.name, func.count())
    .where(any_of(signals.c.run_id, "run_ids"))
    .group_by(signals.c.run_id, signals.c.name)
)
_WAITS = select(waits.c.awaited_id, waits.c.run_id)
_WAITERS = _WAITS.where(any_of(waits.c.awaited_id, "run_ids"))
_KNOWN_WAITS = _WAITS.where(pair_of(waits.c.awaited_id, waits.c.run_id, "pairs"))


def load_ties(connection: Connection, needs: Needs, book: Book) -> None:
    """Load what was asked for; a batch of plain work asks for none of it."""
    if needs.signals:
        rows = connection.execute(_SIGNALS, {"run_ids": list(needs.signals)})
        book.signal_counts.update({(run_id, name): count for run_id, name, count in rows})
    if needs.waiters:
        _note_waits(connection.execute(_WAITERS, {"run_ids": list(needs.waiters)}), book)
    if needs.waits:
        _note_waits(connection.execute(_KNOWN_WAITS, {"pairs": list(needs.waits)}), book)
    if needs.singletons:
        book.singletons.update(lock_singletons(connection, needs.singletons))


def _note_waits(rows: Any, book: Book) -> None:
    for awaited, run_id in rows:
        book.waiters.setdefault(awaited, set()).add(run_id)
