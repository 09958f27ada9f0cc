"""Knowledge in a SQLite file, ranked by FTS5's bm25 and by vectors where a model makes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from agents.knowledge.best import Fetch, best
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
from agents.knowledge.query import Filters, check_collection, check_limit, words
from agents.knowledge.sqlite_layout import SqliteLayout
from agents.knowledge.sqlite_search import SqliteSearch
from agents.knowledge.sqlite_vectors import SqliteVectors
from agents.knowledge.sqlite_writes import passages_of, present, write
from agents.sql.sqlite import SqliteFile

_STATS: Final = """
    SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM passages),
        (SELECT count(*) FROM texts), (SELECT count(*) FROM vectors)"""


class SqliteKnowledge:
    """A `KnowledgeBase` in a SQLite file, which several processes may share.

    Args:
        path: The file; it and its folder are made on first use.
        embeddings: The model that makes vectors; None for ranking by words alone.
    """

    def __init__(self, path: Path | str, embeddings: EmbeddingModel | None = None) -> None:
        self._file = SqliteFile(path)
        self._layout = SqliteLayout(self._file)
        self._embeddings = embeddings
        self._vectors = SqliteVectors(embeddings.name) if embeddings else None

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
        with self._writing() as connection:
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
        with self._reading() as connection:
            search = SqliteSearch(connection, filters)
            found = best(most, partial(search.by_words, asked), self._near(search, vector))
            if not found:
                _refuse_empty(connection, collection)
        return found

    def embedding_model(self) -> EmbeddingModel | None:
        """Return the model whose vectors are kept here."""
        return self._embeddings

    def unembedded(self, limit: int) -> list[Unembedded]:
        """Return at most `limit` passages without a vector of the store's model."""
        if self._vectors is None:
            return []
        with self._reading() as connection:
            return self._vectors.missing(connection, limit)

    def add_vectors(self, vectors: Mapping[int, Vector]) -> None:
        """Keep the vectors of the store's model; see `KnowledgeBase.add_vectors`."""
        if self._vectors is not None:
            with self._writing() as connection:
                self._vectors.add(connection, vectors)

    def stats(self) -> KnowledgeStats:
        """Count what is held."""
        with self._reading() as connection:
            documents, passages, texts, vectors = connection.execute(_STATS).fetchone()
        return KnowledgeStats(documents=documents, passages=passages, texts=texts, vectors=vectors)

    def close(self) -> None:
        """Close the file and the embedding model."""
        self._file.close()
        if self._embeddings:
            self._embeddings.close()

    def _near(self, search: SqliteSearch, vector: Vector | None) -> Fetch | None:
        if self._vectors is None or vector is None:
            return None
        return partial(self._vectors.nearest, search, vector)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        self._layout.ensure()
        with self._file.reading() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        self._layout.ensure()
        with self._file.writing() as connection:
            yield connection


def _refuse_empty(connection: sqlite3.Connection, collection: str | None) -> None:
    row = connection.execute(
        "SELECT EXISTS(SELECT 1 FROM documents WHERE ? IS NULL OR collection = ?)",
        [collection, collection],
    ).fetchone()
    if not row[0]:
        raise NoKnowledge.not_ingested(collection)
