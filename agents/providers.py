"""Hands the shipped agents what they ask for: the composition root calls `provide` once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agents.db_write.port import RecordStore
from agents.db_write.postgres_records import PostgresRecords
from agents.db_write.sqlite_records import SqliteRecords
from agents.db_write.tables.port import TableStore
from agents.email.port import Mailer
from agents.image.store import ImageStore
from agents.knowledge.embedding import EmbeddingModel
from agents.knowledge.port import KnowledgeBase
from agents.knowledge.postgres_knowledge import PostgresKnowledge
from agents.knowledge.sqlite_knowledge import SqliteKnowledge
from agents.llm.factory import language_model
from agents.llm.image_port import ImageModel
from agents.llm.messages.port import MessageStore
from agents.llm.port import LanguageModel
from agents.tasks.routes import ModelRoutes
from agents.webhook.port import Webhooks
from envelope.resources import Resources

__all__ = [
    "knowledge_base",
    "language_model",
    "provide",
    "provide_channels",
    "provide_model_parts",
    "provide_stores",
    "record_store",
]


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


def provide_model_parts(
    resources: Resources,
    *,
    images: Callable[[], ImageModel],
    messages: Callable[[], MessageStore],
    routes: Callable[[], ModelRoutes],
) -> None:
    """Say how pictures are drawn, conversations kept, and models named by their use."""
    resources.provide(ImageModel, images)  # type: ignore[type-abstract] # as above
    resources.provide(MessageStore, messages)  # type: ignore[type-abstract] # as above
    resources.provide(ModelRoutes, routes)


def provide_stores(
    resources: Resources,
    *,
    tables: Callable[[], TableStore],
    pictures: Callable[[], ImageStore],
) -> None:
    """Say where rows of the user's own tables and large pictures are kept."""
    resources.provide(TableStore, tables)  # type: ignore[type-abstract] # as above
    resources.provide(ImageStore, pictures)  # type: ignore[type-abstract] # as above


def provide_channels(
    resources: Resources,
    *,
    mailer: Callable[[], Mailer],
    webhooks: Callable[[], Webhooks],
) -> None:
    """Say how e-mails and webhooks are handed over."""
    resources.provide(Mailer, mailer)  # type: ignore[type-abstract] # as above
    resources.provide(Webhooks, webhooks)  # type: ignore[type-abstract] # as above


def knowledge_base(
    database_url: str | None, home: Path, embeddings: EmbeddingModel | None = None
) -> KnowledgeBase:
    """Return the knowledge store in Postgres, or else in `home/knowledge.sqlite3`.

    With an embedding model passages are found by their meaning too.
    """
    if _is_postgres(database_url):
        return PostgresKnowledge(str(database_url), embeddings)
    return SqliteKnowledge(home / "knowledge.sqlite3", embeddings)


def record_store(database_url: str | None, home: Path) -> RecordStore:
    """Return the record store in Postgres, or else in `home/records.sqlite3`."""
    if _is_postgres(database_url):
        return PostgresRecords(str(database_url))
    return SqliteRecords(home / "records.sqlite3")


def _is_postgres(url: str | None) -> bool:
    return url is not None and url.startswith("postgres")
