"""Vectors in Postgres, kept and compared by the extension pgvector. Every vector is looked at."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any, Final

import psycopg

from agents.knowledge.embedding import Vector
from agents.knowledge.port import Passage, Unembedded
from agents.knowledge.postgres_layout import EXTENSION_SCHEMA, VECTORS, VECTORS_PRESENT
from agents.knowledge.postgres_search import PostgresSearch, as_text
from agents.knowledge.vectors import check_lengths, embedded_text
from agents.sql.postgres import Connection, PostgresDatabase

_MISSING: Final = """
    SELECT t.id, t.heading, t.text FROM muster_knowledge.texts t
    WHERE NOT EXISTS (
        SELECT 1 FROM muster_knowledge.vectors v WHERE v.text_id = t.id AND v.model = %s)
    ORDER BY t.id LIMIT %s"""
_ADD: Final = """
    INSERT INTO muster_knowledge.vectors(text_id, model, embedding)
    SELECT t.id, %s, given.embedding::vector
    FROM unnest(%s::bigint[], %s::text[]) AS given(id, embedding)
    JOIN muster_knowledge.texts t ON t.id = given.id
    ON CONFLICT (text_id) DO UPDATE SET model = excluded.model, embedding = excluded.embedding"""
_LENGTH: Final = """
    SELECT vector_dims(embedding) FROM muster_knowledge.vectors WHERE model = %s LIMIT 1"""


class PostgresVectors:
    """The vectors of one model.

    Args:
        database: The database.
        model: Name of the model; vectors of others are not compared, and replaced in time.
    """

    def __init__(self, database: PostgresDatabase, model: str) -> None:
        self._database = database
        self._model = model
        self._schema: str | None = None
        self._refused = False
        self._lock = threading.Lock()

    def ready(self) -> bool:
        """Whether the database keeps vectors; makes the table on first use.

        Where pgvector is missing and cannot be made, a warning says so once and words alone rank.
        """
        with self._lock:
            if self._schema is None and not self._refused:
                self._schema = self._prepared()
                self._refused = self._schema is None
            return self._schema is not None

    def missing(self, connection: Connection, limit: int) -> list[Unembedded]:
        """Return at most `limit` texts without a vector of the model."""
        self.enter(connection)
        rows: Any = connection.execute(_MISSING, [self._model, limit])
        return [Unembedded(text_id, embedded_text(head, text)) for text_id, head, text in rows]

    def add(self, connection: Connection, vectors: Mapping[int, Vector]) -> None:
        """Keep vectors; texts that are gone meanwhile do not count.

        Raises:
            BadEmbedding: Vectors of the model are there in another length.
        """
        self.enter(connection)
        row: Any = connection.execute(_LENGTH, [self._model]).fetchone()
        known = {row[0]} if row else set()
        check_lengths(self._model, known | {len(numbers) for numbers in vectors.values()})
        texts = [as_text(numbers) for numbers in vectors.values()]
        connection.execute(_ADD, [self._model, list(vectors), texts])

    def nearest(self, search: PostgresSearch, vector: Vector, depth: int) -> list[Passage]:
        """Return the `depth` passages whose vectors are nearest to `vector`."""
        return search.nearest(self._model, vector, depth)

    def count(self, connection: Connection) -> int:
        """Count the vectors, of whichever model."""
        row: Any = connection.execute("SELECT count(*) FROM muster_knowledge.vectors").fetchone()
        return int(row[0])

    def enter(self, connection: Connection) -> None:
        """Let this transaction see pgvector's type and operators, whatever schema they are in."""
        connection.execute(
            "SELECT set_config('search_path', %s, true)", [f"{self._schema}, pg_catalog"]
        )

    def _prepared(self) -> str | None:
        """Return the schema that holds the extension; None where there is no extension."""
        with self._database.transaction() as connection:
            self._database.lock_schema(connection)
            schema = _extension_schema(connection) or _made_extension(connection)
            if schema is not None:
                self._schema = schema
                self.enter(connection)
                present: Any = connection.execute(VECTORS_PRESENT).fetchone()
                if not present[0]:
                    connection.execute(VECTORS)
            return schema


def _extension_schema(connection: Connection) -> str | None:
    row: Any = connection.execute(EXTENSION_SCHEMA).fetchone()
    return str(row[0]) if row else None


def _made_extension(connection: Connection) -> str | None:
    try:
        with connection.transaction():
            connection.execute("CREATE EXTENSION vector")
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        logging.getLogger(__name__).warning(
            "an embedding model is set and Postgres has no pgvector, so words alone rank: %s. "
            "Have an administrator run CREATE EXTENSION vector in this database",
            str(error).splitlines()[0],
        )
        return None
    return _extension_schema(connection)
