"""Finds the best passages in the tables of `sqlite_layout`."""

# ruff: noqa: S608 - the statements are put together of constants

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from agents.knowledge.port import Passage
from agents.knowledge.query import Filters

_HEADING_WEIGHT: Final = 3.0
_TAKEN: Final = """
    (:collection IS NULL OR d.collection = :collection)
    AND (:document IS NULL OR d.path = :document)
    AND (:prefix IS NULL OR substr(d.path, 1, length(:prefix)) = :prefix)
    AND (:metadata = '{}' OR NOT EXISTS (
        SELECT 1 FROM json_each(:metadata) asked WHERE NOT EXISTS (
            SELECT 1 FROM json_each(d.metadata) had
            WHERE had.key = asked.key AND had.value = asked.value)))"""
_ALLOWED: Final = (
    " (:open OR text_id IN (SELECT p.text_id FROM passages p"
    " JOIN documents d ON d.id = p.document_id WHERE" + _TAKEN + "))"
)
_BY_WORDS: Final = (
    """
    WITH hits AS MATERIALIZED (
        SELECT rowid AS text_id, -bm25(texts_fts, :weight, 1.0) AS score
        FROM texts_fts WHERE texts_fts MATCH :words)
    SELECT text_id, score FROM hits WHERE"""
    + _ALLOWED
    + " ORDER BY score DESC, text_id LIMIT :depth"
)
_VECTORS: Final = (
    "SELECT text_id, numbers FROM vectors"
    " WHERE model = :model AND length(numbers) = :bytes AND" + _ALLOWED
)
_PLACES: Final = (
    """
    SELECT text_id, collection, path, document_sha256, metadata, start, page, row,
        heading, text, sha256
    FROM (
        SELECT t.id AS text_id, d.collection, d.path, d.sha256 AS document_sha256, d.metadata,
            p.start, p.page, p.row, t.heading, t.text, t.sha256,
            row_number() OVER (PARTITION BY t.id ORDER BY d.collection, d.path, p.start) AS nth
        FROM json_each(:ids) wanted
        JOIN texts t ON t.id = wanted.value
        JOIN passages p ON p.text_id = t.id
        JOIN documents d ON d.id = p.document_id
        WHERE"""
    + _TAKEN
    + ") WHERE nth = 1"
)


class SqliteSearch:
    """Ranks the passages that filters allow, on one connection.

    Args:
        connection: A connection inside a transaction.
        filters: Where to search.
    """

    def __init__(self, connection: sqlite3.Connection, filters: Filters) -> None:
        self._connection = connection
        self._filters = filters.arguments()

    def by_words(self, words: Sequence[str], depth: int) -> list[Passage]:
        """Return the `depth` best passages that hold any of the words, one of each text."""
        if not words:
            return []
        match = " OR ".join(f'"{word}"' for word in words)
        rows = self._connection.execute(
            _BY_WORDS,
            {**self._filters, "words": match, "weight": _HEADING_WEIGHT, "depth": depth},
        )
        return self.placed(rows.fetchall())

    def vectors(self, model: str, length: int) -> sqlite3.Cursor:
        """Return the ids and vectors of `model` that have so many numbers, as they are read."""
        return self._connection.execute(
            _VECTORS, {**self._filters, "model": model, "bytes": length * 4}
        )

    def placed(self, ranked: Sequence[tuple[int, float]]) -> list[Passage]:
        """Return the passages of texts with their scores, in the order given."""
        ids = json.dumps([text_id for text_id, _ in ranked])
        rows = self._connection.execute(_PLACES, {**self._filters, "ids": ids}).fetchall()
        places = {row[0]: row[1:] for row in rows}
        return [_passage(places[text_id], score) for text_id, score in ranked]


def _passage(row: tuple[Any, ...], score: float) -> Passage:
    collection, path, document_sha256, metadata, start, page, number, heading, text, sha256 = row
    return Passage(
        collection=collection,
        path=path,
        document_sha256=document_sha256,
        metadata=json.loads(metadata),
        offset=start,
        page=page,
        row=number,
        heading=heading,
        text=text,
        sha256=sha256,
        score=score,
    )
