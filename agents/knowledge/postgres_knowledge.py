"""Knowledge in Postgres, ranked by BM25 over its full text dictionary and by pgvector."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from agents.knowledge.best import best
from agents.knowledge.document import SourceDocument
from agents.knowledge.embedding import EmbeddingModel, Vector
from agents.knowledge.errors import NoKnowledge
from agents.knowledge.plan import arrivals, plan_ingestion
from agents.knowledge.port import (
    DEFAULT_COLLECTION,
    IngestReport,
    KnowledgeStats,
    Passage,
    Unembedded,
)
from agents.knowledge.postgres_layout import PRESENT, SCHEMA
from agents.knowledge.postgres_search import PostgresSearch
from agents.knowledge.postgres_vectors import PostgresVectors
from agents.knowledge.postgres_writes import TAKE_TURNS, passages_of, present, write
from agents.knowledge.query import Filters, check_collection, check_limit, words
from agents.sql.postgres import Connection, PostgresDatabase

# A search takes several statements, which must not see an ingestion between them. To compile one
# of them takes longer than to run it.
_FOR_A_SEARCH: Final = """
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL jit = off"""
_STATS: Final = """
    SELECT (SELECT count(*) FROM muster_knowledge.documents),
        (SELECT count(*) FROM muster_knowledge.passages),
        (SELECT count(*) FROM muster_knowledge.texts)"""


class PostgresKnowledge:
    """A `KnowledgeBase` in Postgres (Supabase included).

    Args:
        url: `postgresql://user:password@host/name`. The user may create a schema, or the schema
            `muster_knowledge` exists and belongs to it.
        embeddings: The model that makes vectors; None for ranking by words alone. The database
            needs the extension pgvector for it, or the user the right to create it.
    """

    def __init__(self, url: str, embeddings: EmbeddingModel | None = None) -> None:
        self._database = PostgresDatabase(url, PRESENT, SCHEMA)
        self._embeddings = embeddings
        self._vectors = PostgresVectors(self._database, embeddings.name) if embeddings else None

    def ingest(
        self,
        documents: Iterable[SourceDocument],
        collection: str = DEFAULT_COLLECTION,
        *,
        keep: Collection[str] = (),
    ) -> IngestReport:
        """Make `documents` the whole content of `collection`; see `KnowledgeBase.ingest`."""
        check_collection(collection)
        new = arrivals(documents)
        with self._database.transaction() as connection:
            connection.execute(TAKE_TURNS)
            plan = plan_ingestion(new, present(connection, collection), keep)
            write(connection, collection, plan)
            return replace(plan.report, passages=passages_of(connection, collection))

    def search(
        self,
        query: str,
        limit: int = 5,
        *,
        collection: str | None = None,
        document: str | None = None,
        path_prefix: str | None = None,
        metadata: Mapping[str, str] | None = None,
        vector: Vector | None = None,
    ) -> list[Passage]:
        """Return the passages that fit `query` best; see `KnowledgeBase.search`."""
        filters = Filters(
            collection=collection,
            document=document,
            path_prefix=path_prefix,
            metadata=metadata or {},
        )
        asked, most = words(query), check_limit(limit)
        vectors = self._ready_vectors() if vector is not None else None
        with self._database.transaction() as connection:
            connection.execute(_FOR_A_SEARCH)
            search = PostgresSearch(connection, filters)
            near = None
            if vectors is not None and vector is not None:
                vectors.enter(connection)
                near = partial(vectors.nearest, search, vector)
            found = best(most, partial(search.by_words, asked), near)
            if not found:
                _refuse_empty(connection, collection)
        return found

    def embedding_model(self) -> EmbeddingModel | None:
        """Return the model whose vectors are kept here; None where Postgres cannot keep them."""
        return self._embeddings if self._ready_vectors() else None

    def unembedded(self, limit: int) -> list[Unembedded]:
        """Return at most `limit` passages without a vector of the store's model."""
        vectors = self._ready_vectors()
        if vectors is None:
            return []
        with self._database.transaction() as connection:
            return vectors.missing(connection, limit)

    def add_vectors(self, vectors: Mapping[int, Vector]) -> None:
        """Keep the vectors of the store's model; see `KnowledgeBase.add_vectors`."""
        keeper = self._ready_vectors()
        if keeper is not None and vectors:
            with self._database.transaction() as connection:
                connection.execute(TAKE_TURNS)
                keeper.add(connection, vectors)

    def stats(self) -> KnowledgeStats:
        """Count what is held."""
        vectors = self._ready_vectors()
        with self._database.transaction() as connection:
            row: Any = connection.execute(_STATS).fetchone()
            held = vectors.count(connection) if vectors else 0
        return KnowledgeStats(documents=row[0], passages=row[1], texts=row[2], vectors=held)

    def close(self) -> None:
        """Close the connections and the embedding model."""
        self._database.close()
        if self._embeddings:
            self._embeddings.close()

    def _ready_vectors(self) -> PostgresVectors | None:
        return self._vectors if self._vectors and self._vectors.ready() else None


def _refuse_empty(connection: Connection, collection: str | None) -> None:
    row: Any = connection.execute(
        "SELECT EXISTS(SELECT 1 FROM muster_knowledge.documents"
        " WHERE %(collection)s::text IS NULL OR collection = %(collection)s)",
        {"collection": collection},
    ).fetchone()
    if not row[0]:
        raise NoKnowledge.not_ingested(collection)
