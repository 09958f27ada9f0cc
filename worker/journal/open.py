"""Chooses the journal that a URL names."""

from __future__ import annotations

from worker.journal.memory import MemoryJournal
from worker.journal.sql import PATIENCE, SqlJournal
from worker.journal.urls import MEMORY
from worker.journal.watch import BatchWatch


def journal_for(
    database_url: str,
    *,
    patience: float = PATIENCE,
    worker_id: str | None = None,
    watch: BatchWatch | None = None,
) -> MemoryJournal | SqlJournal:
    """Return a journal, which is a ledger too, not opened yet.

    Args:
        database_url: `postgresql://…`, `sqlite:///…`, or `memory://` for one that forgets.
        patience: Seconds for which the database may be away before a call fails.
        worker_id: The worker whose journal it will be; None where it is nobody's.
        watch: Sees what is written; one in memory writes nothing.

    Raises:
        InvalidInput: The URL names nothing that a journal can live in.
    """
    if database_url.partition(":")[0] == MEMORY:
        return MemoryJournal()
    return SqlJournal(database_url, patience=patience, worker_id=worker_id, watch=watch)
