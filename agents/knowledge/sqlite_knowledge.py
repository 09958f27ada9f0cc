"""Knowledge in a SQLite file, ranked by FTS5's bm25.

Tables:
    documents: id, collection, path, sha256.
    texts: id, sha256, heading, text. A distinct passage, stored and indexed once.
    passages: document_id, start, text_id. Where a text stands.
    texts_fts: The full text index of texts, kept by triggers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final

from agents.knowledge.chunking import Chunk
from agents.knowledge.document import SourceDocument
from agents.knowledge.errors import NoKnowledge
from agents.knowledge.plan import Arrival, IngestPlan, arrivals, plan_ingestion
from agents.knowledge.port import (
    DEFAULT_COLLECTION,
    IngestReport,
    KnowledgeStats,
    Passage,
)
from agents.knowledge.query import check_filters, check_limit, words
from agents.sql.sqlite import SqliteFile

_SCHEMA: Final = (
    """CREATE TABLE IF NOT EXISTS documents(
        id INTEGER PRIMARY KEY,
        collection TEXT NOT NULL,
        path TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        UNIQUE(collection, path))""",
    """CREATE TABLE IF NOT EXISTS texts(
        id INTEGER PRIMARY KEY,
        sha256 TEXT NOT NULL,
        heading TEXT NOT NULL,
        text TEXT NOT NULL,
        UNIQUE(sha256, heading))""",
    """CREATE TABLE IF NOT EXISTS passages(
        document_id INTEGER NOT NULL REFERENCES documents ON DELETE CASCADE,
        start INTEGER NOT NULL,
        text_id INTEGER NOT NULL REFERENCES texts,
        PRIMARY KEY(document_id, start)) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS passages_by_text ON passages(text_id)",
    """CREATE VIRTUAL TABLE IF NOT EXISTS texts_fts USING fts5(
        heading, text, content='texts', content_rowid='id',
        tokenize='porter unicode61 remove_diacritics 2')""",
    """CREATE TRIGGER IF NOT EXISTS texts_added AFTER INSERT ON texts BEGIN
        INSERT INTO texts_fts(rowid, heading, text) VALUES (new.id, new.heading, new.text); END""",
    """CREATE TRIGGER IF NOT EXISTS texts_removed AFTER DELETE ON texts BEGIN
        INSERT INTO texts_fts(texts_fts, rowid, heading, text)
        VALUES ('delete', old.id, old.heading, old.text); END""",
)
_SEARCH: Final = """
    WITH hits AS MATERIALIZED (
        SELECT rowid AS text_id, bm25(texts_fts, 3.0, 1.0) AS rank
        FROM texts_fts WHERE texts_fts MATCH :query),
    places AS (
        SELECT d.collection, d.path, p.start, t.heading, t.text, t.sha256, hits.rank,
            row_number() OVER (
                PARTITION BY t.sha256 ORDER BY hits.rank, d.collection, d.path, p.start) AS nth
        FROM hits
        JOIN texts t ON t.id = hits.text_id
        JOIN passages p ON p.text_id = t.id
        JOIN documents d ON d.id = p.document_id
        WHERE (:collection IS NULL OR d.collection = :collection)
          AND (:prefix IS NULL OR substr(d.path, 1, length(:prefix)) = :prefix))
    SELECT collection, path, start, heading, text, sha256, -rank FROM places
    WHERE nth = 1 ORDER BY rank, collection, path, start LIMIT :limit"""


class SqliteKnowledge:
    """A `KnowledgeBase` in a SQLite file, which several processes may share.

    Args:
        path: The file; it and its folder are made on first use.
    """

    def __init__(self, path: Path | str) -> None:
        self._file = SqliteFile(path, _SCHEMA)

    def ingest(
        self, documents: Iterable[SourceDocument], collection: str = DEFAULT_COLLECTION
    ) -> IngestReport:
        """Make `documents` the whole content of `collection`; see `KnowledgeBase.ingest`."""
        check_filters(collection)
        new = arrivals(documents)
        with self._file.writing() as connection:
            plan = plan_ingestion(new, _present(connection, collection))
            _write(connection, collection, plan)
            return replace(plan.report, passages=_passages_of(connection, collection))

    def search(
        self,
        query: str,
        limit: int = 5,
        *,
        collection: str | None = None,
        path_prefix: str | None = None,
    ) -> list[Passage]:
        """Return the passages that fit `query` best; see `KnowledgeBase.search`."""
        check_filters(collection, path_prefix)
        asked = {
            "query": " OR ".join(f'"{word}"' for word in words(query)),
            "limit": check_limit(limit),
            "collection": collection,
            "prefix": path_prefix,
        }
        with self._file.reading() as connection:
            rows = connection.execute(_SEARCH, asked).fetchall()
            if not rows:
                _refuse_empty(connection, collection)
        return [_passage(row) for row in rows]

    def stats(self) -> KnowledgeStats:
        """Count what is held."""
        with self._file.reading() as connection:
            documents, passages, texts = connection.execute(
                "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM passages),"
                " (SELECT count(*) FROM texts)"
            ).fetchone()
        return KnowledgeStats(documents=documents, passages=passages, texts=texts)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _present(connection: sqlite3.Connection, collection: str) -> dict[str, str]:
    rows = connection.execute(
        "SELECT path, sha256 FROM documents WHERE collection = ?", [collection]
    )
    return dict(rows.fetchall())


def _write(connection: sqlite3.Connection, collection: str, plan: IngestPlan) -> None:
    connection.executemany(
        "DELETE FROM documents WHERE collection = ? AND path = ?",
        [(collection, path) for path in plan.drop],
    )
    for arrival, pieces in plan.write:
        _add(connection, collection, arrival, pieces)
    if plan.drop:
        connection.execute("DELETE FROM texts WHERE id NOT IN (SELECT text_id FROM passages)")


def _add(
    connection: sqlite3.Connection, collection: str, arrival: Arrival, pieces: tuple[Chunk, ...]
) -> None:
    document_id = connection.execute(
        "INSERT INTO documents(collection, path, sha256) VALUES (?, ?, ?) RETURNING id",
        [collection, arrival.document.path, arrival.sha256],
    ).fetchone()[0]
    hashed = [(piece, piece.sha256) for piece in pieces]
    connection.executemany(
        "INSERT INTO texts(sha256, heading, text) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [(digest, piece.heading, piece.text) for piece, digest in hashed],
    )
    connection.executemany(
        "INSERT INTO passages(document_id, start, text_id)"
        " SELECT ?, ?, id FROM texts WHERE sha256 = ? AND heading = ?",
        [(document_id, piece.offset, digest, piece.heading) for piece, digest in hashed],
    )


def _passages_of(connection: sqlite3.Connection, collection: str) -> int:
    row = connection.execute(
        "SELECT count(*) FROM passages p JOIN documents d ON d.id = p.document_id"
        " WHERE d.collection = ?",
        [collection],
    ).fetchone()
    return int(row[0])


def _refuse_empty(connection: sqlite3.Connection, collection: str | None) -> None:
    row = connection.execute(
        "SELECT EXISTS(SELECT 1 FROM documents WHERE ? IS NULL OR collection = ?)",
        [collection, collection],
    ).fetchone()
    if not row[0]:
        raise NoKnowledge.not_ingested(collection)


def _passage(row: tuple[str, str, int, str, str, str, float]) -> Passage:
    collection, path, start, heading, text, digest, score = row
    return Passage(
        collection=collection,
        path=path,
        offset=start,
        heading=heading,
        text=text,
        sha256=digest,
        score=score,
    )
