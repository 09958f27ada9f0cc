"""Chooses the journal that a URL names."""

from __future__ import annotations

from envelope.ports.journal import Journal
from worker.journal.memory import MemoryJournal
from worker.journal.sql import PATIENCE, SqlJournal
from worker.journal.urls import MEMORY


def journal_for(database_url: str, *, patience: float = PATIENCE) -> Journal:
    """Return a journal, not opened yet.

    Args:
        database_url: `postgresql://…`, `sqlite:///…`, or `memory://` for one that forgets.
        patience: Seconds for which the database may be away before a call fails.

    Raises:
        InvalidInput: The URL names nothing that a journal can live in.
    """
    if database_url.partition(":")[0] == MEMORY:
        return MemoryJournal()
    return SqlJournal(database_url, patience=patience)
