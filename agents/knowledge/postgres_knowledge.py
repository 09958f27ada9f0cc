"""Knowledge in Postgres, ranked by its full text search.

Tables, in a schema of their own, so that they never meet the journal's in a shared database:
    muster_knowledge.documents: id, collection, path, sha256.
    muster_knowledge.texts: id, sha256, heading, text, lexemes. A distinct passage, stored once.
    muster_knowledge.passages: document_id, start, text_id. Where a text stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

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
from agents.sql.postgres import Connection, PostgresDatabase

_PRESENT: Final = "SELECT to_regclass('muster_knowledge.texts_by_lexeme') IS NOT NULL"
_SCHEMA: Final = (
    "CREATE SCHEMA IF NOT EXISTS muster_knowledge",
    """CREATE TABLE muster_knowledge.documents(
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        collection text NOT NULL,
        path text NOT NULL,
        sha256 text NOT NULL,
        UNIQUE(collection, path))""",
    """CREATE TABLE muster_knowledge.texts(
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        sha256 text NOT NULL,
        heading text NOT NULL,
        text text NOT NULL,
        lexemes tsvector NOT NULL GENERATED ALWAYS AS (
            setweight(to_tsvector('pg_catalog.english', heading), 'A')
            || setweight(to_tsvector('pg_catalog.english', text), 'B')) STORED,
        UNIQUE(sha256, heading))""",
    """CREATE TABLE muster_knowledge.passages(
        document_id bigint NOT NULL REFERENCES muster_knowledge.documents ON DELETE CASCADE,
        start integer NOT NULL,
        text_id bigint NOT NULL REFERENCES muster_knowledge.texts,
        PRIMARY KEY(document_id, start))""",
    "CREATE INDEX passages_by_text ON muster_knowledge.passages(text_id)",
    "CREATE INDEX texts_by_lexeme ON muster_knowledge.texts USING gin(lexemes)",
)
_SEARCH: Final = """
    WITH asked AS (SELECT websearch_to_tsquery('pg_catalog.english', %(query)s) AS words),
    hits AS MATERIALIZED (
        SELECT t.id AS text_id, ts_rank_cd(t.lexemes, asked.words, 1) AS rank
        FROM muster_knowledge.texts t, asked WHERE t.lexemes @@ asked.words),
    places AS (
        SELECT d.collection, d.path, p.start, t.heading, t.text, t.sha256, hits.rank,
            row_number() OVER (
                PARTITION BY t.sha256
                ORDER BY hits.rank DESC, d.collection, d.path, p.start) AS nth
        FROM hits
        JOIN muster_knowledge.texts t ON t.id = hits.text_id
        JOIN muster_knowledge.passages p ON p.text_id = t.id
        JOIN muster_knowledge.documents d ON d.id = p.document_id
        WHERE (%(collection)s::text IS NULL OR d.collection = %(collection)s::text)
          AND (%(prefix)s::text IS NULL OR starts_with(d.path, %(prefix)s::text)))
    SELECT collection, path, start, heading, text, sha256, rank::float8 FROM places
    WHERE nth = 1 ORDER BY rank DESC, collection, path, start LIMIT %(limit)s"""


class PostgresKnowledge:
    """A `KnowledgeBase` in Postgres (Supabase included).

    Args:
        url: `postgresql://user:password@host/name`. The user may create a schema, or the schema
            `muster_knowledge` exists and belongs to it.
    """

    def __init__(self, url: str) -> None:
        self._database = PostgresDatabase(url, _PRESENT, _SCHEMA)

    def ingest(
        self, documents: Iterable[SourceDocument], collection: str = DEFAULT_COLLECTION
    ) -> IngestReport:
        """Make `documents` the whole content of `collection`; see `KnowledgeBase.ingest`."""
        check_filters(collection)
        new = arrivals(documents)
        with self._database.transaction() as connection:
            # Two ingestions at once would compare with what neither of them leaves behind.
            connection.execute("LOCK TABLE muster_knowledge.documents IN SHARE ROW EXCLUSIVE MODE")
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
            "query": " or ".join(f'"{word}"' for word in words(query)),
            "limit": check_limit(limit),
            "collection": collection,
            "prefix": path_prefix,
        }
        with self._database.transaction() as connection:
            rows = connection.execute(_SEARCH, asked).fetchall()
            if not rows:
                _refuse_empty(connection, collection)
        return [_passage(row) for row in rows]

    def stats(self) -> KnowledgeStats:
        """Count what is held."""
        with self._database.transaction() as connection:
            documents, passages, texts = _one(
                connection,
                "SELECT (SELECT count(*) FROM muster_knowledge.documents),"
                " (SELECT count(*) FROM muster_knowledge.passages),"
                " (SELECT count(*) FROM muster_knowledge.texts)",
            )
        return KnowledgeStats(documents=documents, passages=passages, texts=texts)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()


def _one(connection: Connection, query: str, *arguments: Any) -> tuple[Any, ...]:
    row = connection.execute(query.encode(), arguments).fetchone()
    return row or ()


def _present(connection: Connection, collection: str) -> dict[str, str]:
    rows = connection.execute(
        "SELECT path, sha256 FROM muster_knowledge.documents WHERE collection = %s", [collection]
    )
    return {str(path): str(digest) for path, digest in rows}


def _write(connection: Connection, collection: str, plan: IngestPlan) -> None:
    connection.execute(
        "DELETE FROM muster_knowledge.documents WHERE collection = %s AND path = ANY(%s)",
        [collection, list(plan.drop)],
    )
    for arrival, pieces in plan.write:
        _add(connection, collection, arrival, pieces)
    if plan.drop:
        connection.execute(
            "DELETE FROM muster_knowledge.texts t WHERE NOT EXISTS"
            " (SELECT 1 FROM muster_knowledge.passages p WHERE p.text_id = t.id)"
        )


def _add(
    connection: Connection, collection: str, arrival: Arrival, pieces: tuple[Chunk, ...]
) -> None:
    document_id = _one(
        connection,
        "INSERT INTO muster_knowledge.documents(collection, path, sha256)"
        " VALUES (%s, %s, %s) RETURNING id",
        collection,
        arrival.document.path,
        arrival.sha256,
    )[0]
    hashed = [(piece, piece.sha256) for piece in pieces]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO muster_knowledge.texts(sha256, heading, text) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [(digest, piece.heading, piece.text) for piece, digest in hashed],
        )
        cursor.executemany(
            "INSERT INTO muster_knowledge.passages(document_id, start, text_id)"
            " SELECT %s, %s, id FROM muster_knowledge.texts WHERE sha256 = %s AND heading = %s",
            [(document_id, piece.offset, digest, piece.heading) for piece, digest in hashed],
        )


def _passages_of(connection: Connection, collection: str) -> int:
    row = _one(
        connection,
        "SELECT count(*) FROM muster_knowledge.passages p"
        " JOIN muster_knowledge.documents d ON d.id = p.document_id WHERE d.collection = %s",
        collection,
    )
    return int(row[0])


def _refuse_empty(connection: Connection, collection: str | None) -> None:
    row = _one(
        connection,
        "SELECT EXISTS(SELECT 1 FROM muster_knowledge.documents"
        " WHERE %s::text IS NULL OR collection = %s::text)",
        collection,
        collection,
    )
    if not row[0]:
        raise NoKnowledge.not_ingested(collection)


def _passage(row: tuple[Any, ...]) -> Passage:
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
