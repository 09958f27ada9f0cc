"""Writes an ingestion into the tables of `postgres_layout`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from agents.knowledge.analysis import telling_words
from agents.knowledge.chunking import Chunk
from agents.knowledge.plan import Arrival, IngestPlan
from agents.sql.postgres import Connection

_AT_ONCE: Final = 200
# Two ingestions at once would compare with what neither of them leaves behind.
TAKE_TURNS: Final = "LOCK TABLE muster_knowledge.documents IN SHARE ROW EXCLUSIVE MODE"
_DROPPED_AT_ONCE: Final = 2_000
_DROP_DOCUMENTS: Final = """
    DELETE FROM muster_knowledge.documents WHERE collection = %s AND path = ANY(%s)"""
_DROP_TEXTS: Final = """
    DELETE FROM muster_knowledge.texts WHERE id IN (
        SELECT t.id FROM muster_knowledge.texts t WHERE NOT EXISTS (
            SELECT 1 FROM muster_knowledge.passages p WHERE p.text_id = t.id)
        LIMIT %s)"""
_ADD_DOCUMENTS: Final = """
    INSERT INTO muster_knowledge.documents(collection, path, sha256, fingerprint, metadata)
    SELECT %s, given.path, given.sha256, given.fingerprint, given.metadata::jsonb
    FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])
        AS given(path, sha256, fingerprint, metadata)
    RETURNING path, id"""
_ADD_TEXTS: Final = """
    WITH pieces AS (
        SELECT DISTINCT ON (sha256, heading) * FROM unnest(
            %(sha256)s::text[], %(heading)s::text[], %(text)s::text[],
            %(heading_words)s::text[], %(text_words)s::text[], %(length)s::int[])
            AS given(sha256, heading, text, heading_words, text_words, length)),
    new AS (
        INSERT INTO muster_knowledge.texts(sha256, heading, text, length)
        SELECT sha256, heading, text, length FROM pieces
        ON CONFLICT DO NOTHING RETURNING id, sha256, heading, length)
    INSERT INTO muster_knowledge.postings(lexeme, text_id, weight, length)
    SELECT word.lexeme, new.id,
        (SELECT sum(CASE mark WHEN 'A' THEN 3 ELSE 1 END) FROM unnest(word.weights) mark),
        new.length
    FROM new JOIN pieces USING (sha256, heading),
        LATERAL unnest(
            setweight(to_tsvector('pg_catalog.english', pieces.heading_words), 'A')
            || to_tsvector('pg_catalog.english', pieces.text_words)) word"""
_ADD_PASSAGES: Final = """
    INSERT INTO muster_knowledge.passages(document_id, start, text_id, page, row)
    SELECT given.document, given.start, t.id, given.page, given.row
    FROM unnest(
        %(document)s::bigint[], %(start)s::int[], %(sha256)s::text[], %(heading)s::text[],
        %(page)s::int[], %(row)s::int[]) AS given(document, start, sha256, heading, page, row)
    JOIN muster_knowledge.texts t USING (sha256, heading)"""
_COUNT: Final = """
    UPDATE muster_knowledge.totals SET (texts, length) = (
        SELECT count(*), coalesce(sum(length), 0) FROM muster_knowledge.texts)"""

# Without statistics the planner reads whole tables until autovacuum has passed by.
_ANALYZE: Final = """
    ANALYZE muster_knowledge.documents, muster_knowledge.texts, muster_knowledge.passages,
        muster_knowledge.postings"""


Written = tuple[Arrival, tuple[Chunk, ...]]


def present(connection: Connection, collection: str) -> dict[str, str]:
    """Return the fingerprints of the collection's documents, by path."""
    rows = connection.execute(
        "SELECT path, fingerprint FROM muster_knowledge.documents WHERE collection = %s",
        [collection],
    )
    return {str(path): str(fingerprint) for path, fingerprint in rows}


def passages_of(connection: Connection, collection: str) -> int:
    """Count the passages of the collection."""
    row: Any = connection.execute(
        "SELECT count(*) FROM muster_knowledge.passages p"
        " JOIN muster_knowledge.documents d ON d.id = p.document_id WHERE d.collection = %s",
        [collection],
    ).fetchone()
    return int(row[0])


def write(connection: Connection, collection: str, plan: IngestPlan) -> None:
    """Do what the plan says; texts that no document has any more go with their vectors."""
    if not plan.write and not plan.drop:
        return
    for start in range(0, len(plan.drop), _DROPPED_AT_ONCE):
        some = list(plan.drop[start : start + _DROPPED_AT_ONCE])
        connection.execute(_DROP_DOCUMENTS, [collection, some])
    for start in range(0, len(plan.write), _AT_ONCE):
        _add(connection, collection, plan.write[start : start + _AT_ONCE])
    if plan.drop:
        _drop_texts(connection)
    connection.execute(_COUNT)
    connection.execute(_ANALYZE)


def _drop_texts(connection: Connection) -> None:
    """Drop what no document has any more, in parts: a statement has a time limit."""
    while connection.execute(_DROP_TEXTS, [_DROPPED_AT_ONCE]).rowcount == _DROPPED_AT_ONCE:
        pass


def _add(connection: Connection, collection: str, some: Sequence[Written]) -> None:
    arrived = [arrival for arrival, _ in some]
    made: Any = connection.execute(
        _ADD_DOCUMENTS,
        [
            collection,
            [arrival.document.path for arrival in arrived],
            [arrival.document.sha256 for arrival in arrived],
            [arrival.fingerprint for arrival in arrived],
            [arrival.metadata for arrival in arrived],
        ],
    )
    ids = dict(made.fetchall())
    pieces = [piece for _, cut in some for piece in cut]
    texts = _columns(pieces)
    connection.execute(_ADD_TEXTS, texts)
    connection.execute(
        _ADD_PASSAGES,
        {
            **texts,
            "document": [ids[arrival.document.path] for arrival, cut in some for _ in cut],
            "start": [piece.offset for piece in pieces],
            "page": [piece.page for piece in pieces],
            "row": [piece.row for piece in pieces],
        },
    )


def _columns(pieces: Sequence[Chunk]) -> dict[str, list[Any]]:
    heading_words = [telling_words(piece.heading) for piece in pieces]
    text_words = [telling_words(piece.text) for piece in pieces]
    return {
        "sha256": [piece.sha256 for piece in pieces],
        "heading": [piece.heading for piece in pieces],
        "text": [piece.text for piece in pieces],
        "heading_words": [" ".join(words) for words in heading_words],
        "text_words": [" ".join(words) for words in text_words],
        "length": [
            len(above) + len(inside)
            for above, inside in zip(heading_words, text_words, strict=True)
        ],
    }
