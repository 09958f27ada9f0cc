"""Vectors in the tables of `sqlite_layout`, searched exactly: every one is looked at."""

from __future__ import annotations

import importlib
import sqlite3
from array import array
from collections.abc import Mapping
from typing import Final

from agents.knowledge.embedding import Vector
from agents.knowledge.port import Passage, Unembedded
from agents.knowledge.sqlite_search import SqliteSearch
from agents.knowledge.vectors import check_lengths, embedded_text

_BYTES_PER_NUMBER: Final = 4
_MISSING: Final = """
    SELECT t.id, t.heading, t.text FROM texts t
    WHERE NOT EXISTS (SELECT 1 FROM vectors v WHERE v.text_id = t.id AND v.model = ?)
    ORDER BY t.id LIMIT ?"""
_ADD: Final = """
    INSERT INTO vectors(text_id, model, numbers) SELECT id, ?, ? FROM texts WHERE id = ?
    ON CONFLICT(text_id) DO UPDATE SET model = excluded.model, numbers = excluded.numbers"""


class SqliteVectors:
    """The vectors of one model.

    Args:
        model: Its name; vectors of other models are not compared, and replaced in time.
    """

    def __init__(self, model: str) -> None:
        self._model = model

    def missing(self, connection: sqlite3.Connection, limit: int) -> list[Unembedded]:
        """Return at most `limit` texts without a vector of the model."""
        rows = connection.execute(_MISSING, [self._model, limit])
        return [Unembedded(text_id, embedded_text(head, text)) for text_id, head, text in rows]

    def add(self, connection: sqlite3.Connection, vectors: Mapping[int, Vector]) -> None:
        """Keep vectors; texts that are gone meanwhile do not count.

        Raises:
            BadEmbedding: Vectors of the model are there in another length.
        """
        self._check_lengths(connection, vectors)
        connection.executemany(
            _ADD,
            [
                (self._model, array("f", numbers).tobytes(), text_id)
                for text_id, numbers in vectors.items()
            ],
        )

    def nearest(self, search: SqliteSearch, vector: Vector, depth: int) -> list[Passage]:
        """Return the `depth` passages whose vectors are nearest to `vector`."""
        # numpy takes a tenth of a second to import; a process without vectors does not wait for it.
        exact = importlib.import_module("agents.knowledge.exact_search")
        ranked: list[tuple[int, float]] = exact.nearest(
            search.vectors(self._model, len(vector)), vector, depth
        )
        return search.placed(ranked)

    def _check_lengths(self, connection: sqlite3.Connection, vectors: Mapping[int, Vector]) -> None:
        row = connection.execute(
            "SELECT length(numbers) FROM vectors WHERE model = ? LIMIT 1", [self._model]
        ).fetchone()
        known = {row[0] // _BYTES_PER_NUMBER} if row else set()
        check_lengths(self._model, known | {len(numbers) for numbers in vectors.values()})
