"""Chooses the message store that the settings ask for."""

from __future__ import annotations

from pathlib import Path

from agents.llm.messages.port import MessageStore
from agents.llm.messages.postgres_tables import PostgresTables
from agents.llm.messages.sqlite_tables import SqliteTables
from agents.llm.messages.store import Messages
from agents.llm.messages.tables import MemoryTables


def message_store(database_url: str | None, home: Path) -> MessageStore:
    """Return the message store in Postgres, or else in `home/messages.sqlite3`."""
    if database_url is not None and database_url.startswith("postgres"):
        return Messages(PostgresTables(database_url))
    return Messages(SqliteTables(home / "messages.sqlite3"))


def memory_messages() -> MessageStore:
    """Return a message store of this process alone."""
    return Messages(MemoryTables())
