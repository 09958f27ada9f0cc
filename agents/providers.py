"""Hands the shipped agents what they ask for: the composition root calls `provide` once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agents.db_write.port import RecordStore
from agents.db_write.postgres_records import PostgresRecords
from agents.db_write.sqlite_records import SqliteRecords
from agents.knowledge.port import KnowledgeBase
from agents.knowledge.postgres_knowledge import PostgresKnowledge
from agents.knowledge.sqlite_knowledge import SqliteKnowledge
from agents.llm.factory import language_model
from agents.llm.port import LanguageModel
from envelope.resources import Resources

__all__ = ["knowledge_base", "language_model", "provide", "record_store"]


def provide(
    resources: Resources,
    *,
    knowledge: Callable[[], KnowledgeBase],
    records: Callable[[], RecordStore],
    model: Callable[[], LanguageModel],
) -> None:
    """Say how the shipped agents' resources are made; each is made when it is first asked for.

    Example:
        >>> provide(
        ...     resources,
        ...     knowledge=lambda: knowledge_base(None, home),
        ...     records=lambda: record_store(None, home),
        ...     model=lambda: language_model(key, base_url, "gpt-5.4-mini", 60.0),
        ... )
    """
    resources.provide(KnowledgeBase, knowledge)  # type: ignore[type-abstract] # a port is provided under its Protocol
    resources.provide(RecordStore, records)  # type: ignore[type-abstract] # as above
    resources.provide(LanguageModel, model)  # type: ignore[type-abstract] # as above


def knowledge_base(database_url: str | None, home: Path) -> KnowledgeBase:
    """Return the knowledge store in Postgres, or else in `home/knowledge.sqlite3`."""
    if _is_postgres(database_url):
        return PostgresKnowledge(str(database_url))
    return SqliteKnowledge(home / "knowledge.sqlite3")


def record_store(database_url: str | None, home: Path) -> RecordStore:
    """Return the record store in Postgres, or else in `home/records.sqlite3`."""
    if _is_postgres(database_url):
        return PostgresRecords(str(database_url))
    return SqliteRecords(home / "records.sqlite3")


def _is_postgres(url: str | None) -> bool:
    return url is not None and url.startswith("postgres")
