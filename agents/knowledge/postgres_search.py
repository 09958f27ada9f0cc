"""Finds the best passages in the tables of `postgres_layout`."""

# ruff: noqa: S608 - the statements are put together of constants

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from agents.knowledge.embedding import Vector
from agents.knowledge.port import Passage
from agents.knowledge.query import Filters
from agents.sql.postgres import Connection

_TAKEN: Final = """
    (%(collection)s::text IS NULL OR d.collection = %(collection)s)
    AND (%(document)s::text IS NULL OR d.path = %(document)s)
    AND (%(prefix)s::text IS NULL OR starts_with(d.path, %(prefix)s))
    AND d.metadata @> %(metadata)s::jsonb"""
_ALLOWED: Final = (
    """ (%(open)s OR text_id IN (SELECT p.text_id FROM muster_knowledge.passages p
        JOIN muster_knowledge.documents d ON d.id = p.document_id WHERE"""
    + _TAKEN
    + "))"
)
# Okapi BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond",
# 2009) with Lucene's never negative idf. ts_rank knows nothing of how rare a word is.
_BY_WORDS: Final = (
    """
    WITH asked AS MATERIALIZED (
        SELECT lexeme, cardinality(positions) AS times
        FROM unnest(to_tsvector('pg_catalog.english', %(words)s::text))),
    holding AS (
        SELECT p.text_id, p.weight, p.length, asked.times,
            count(*) OVER (PARTITION BY p.lexeme) AS n
        FROM asked JOIN muster_knowledge.postings p ON p.lexeme = asked.lexeme),
    hits AS (
        SELECT h.text_id, sum(
            h.times * ln(1 + (totals.texts - h.n + 0.5::float8) / (h.n + 0.5::float8))
            * h.weight * (%(k1)s + 1)
            / (h.weight + %(k1)s * (1 - %(b)s + %(b)s * h.length * totals.texts / totals.length))
        ) AS score
        FROM holding h, (SELECT * FROM muster_knowledge.totals LIMIT 1) totals GROUP BY h.text_id)
    SELECT text_id, score FROM hits WHERE"""
    + _ALLOWED
    + " ORDER BY score DESC, text_id LIMIT %(depth)s"
)
_NEAREST: Final = (
    """
    SELECT text_id, 1 - (embedding <=> %(vector)s::vector) AS score
    FROM muster_knowledge.vectors
    WHERE model = %(model)s AND vector_dims(embedding) = %(numbers)s AND"""
    + _ALLOWED
    + " ORDER BY embedding <=> %(vector)s::vector, text_id LIMIT %(depth)s"
)
_PLACES: Final = (
    """
    SELECT DISTINCT ON (t.id) t.id, d.collection, d.path, d.sha256, d.metadata,
        p.start, p.page, p.row, t.heading, t.text, t.sha256
    FROM muster_knowledge.texts t
    JOIN muster_knowledge.passages p ON p.text_id = t.id
    JOIN muster_knowledge.documents d ON d.id = p.document_id
    WHERE t.id = ANY(%(ids)s) AND"""
    + _TAKEN
    + " ORDER BY t.id, d.collection, d.path, p.start"
)
_K1: Final = 1.5
_B: Final = 0.75


class PostgresSearch:
    """Ranks the passages that filters allow, on one connection.

    Args:
        connection: A connection inside a transaction.
        filters: Where to search.
    """

    def __init__(self, connection: Connection, filters: Filters) -> None:
        self._connection = connection
        self._filters = filters.arguments()

    def by_words(self, words: Sequence[str], depth: int) -> list[Passage]:
        """Return the `depth` best passages that hold any of the words, one of each text."""
        if not words:
            return []
        asked = {"words": " ".join(words), "k1": _K1, "b": _B, "depth": depth}
        return self._placed(self._connection.execute(_BY_WORDS, {**self._filters, **asked}))

    def nearest(self, model: str, vector: Vector, depth: int) -> list[Passage]:
        """Return the `depth` passages whose vectors of `model` are nearest to `vector`."""
        asked = {
            "model": model,
            "vector": as_text(vector),
            "numbers": len(vector),
            "depth": depth,
        }
        return self._placed(self._connection.execute(_NEAREST, {**self._filters, **asked}))

    def _placed(self, ranked: Any) -> list[Passage]:
        """Return the passages of ranked texts with their scores, in the order given."""
        scored = {int(text_id): float(score) for text_id, score in ranked}
        rows: Any = self._connection.execute(_PLACES, {**self._filters, "ids": list(scored)})
        places = {row[0]: row[1:] for row in rows}
        return [_passage(places[text_id], score) for text_id, score in scored.items()]


def as_text(vector: Vector) -> str:
    """Return a vector as pgvector reads it."""
    return f"[{','.join(map(repr, vector))}]"


def _passage(row: tuple[Any, ...], score: float) -> Passage:
    collection, path, document_sha256, metadata, start, page, number, heading, text, sha256 = row
    return Passage(
        collection=collection,
        path=path,
        document_sha256=document_sha256,
        metadata=metadata,
        offset=start,
        page=page,
        row=number,
        heading=heading,
        text=text,
        sha256=sha256,
        score=score,
    )
