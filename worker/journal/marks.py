"""The mark that a process leaves with each batch, by which it learns what became of a commit.

Postgres can tell a transaction's fate by its number, but only while it runs: after a crash it may
give the number of a transaction that left no trace to another one, and tell of that
(https://postgr.es/m/CAMsr+YHPZetkB0OeBsBu76+Km=Mb4SEbP1=-jJ6fF9MGSYn8mw@mail.gmail.com).
A row that the transaction writes itself cannot be mistaken.
"""

from __future__ import annotations

from itertools import count
from secrets import token_hex

from sqlalchemy import Connection, text

KEPT_SECONDS = 86_400.0
"""After a day without a batch a process's mark is removed: no doubt lasts that long."""

_LEAVE = text(
    """
    INSERT INTO muster_writers (writer, batch, at)
    SELECT :writer, CAST(:batch AS bigint), extract(epoch FROM clock_timestamp())
    WHERE pg_current_xact_id_if_assigned() IS NOT NULL
    ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, at = excluded.at
    """
)
# Waits for a transaction of the same writer that the server still works on, be it the first.
_LAST = text(
    """
    INSERT INTO muster_writers (writer, batch, at)
    VALUES (:writer, 0, extract(epoch FROM clock_timestamp()))
    ON CONFLICT (writer) DO UPDATE SET at = excluded.at
    RETURNING batch
    """
)


class Marks:
    """The marks of one writer, whose transactions follow each other."""

    def __init__(self) -> None:
        self._writer = token_hex(8)
        self._batches = count(1)

    def leave(self, connection: Connection) -> int | None:
        """Mark the running transaction, if it wrote anything, and return the batch's number.

        None on SQLite, where a COMMIT that fails has certainly not happened.
        """
        if connection.dialect.name != "postgresql":
            return None
        batch = next(self._batches)
        connection.execute(_LEAVE, {"writer": self._writer, "batch": batch})
        return batch

    def last(self, connection: Connection) -> int:
        """Return the number of the last batch that was committed; 0 where none was."""
        return int(connection.execute(_LAST, {"writer": self._writer}).scalar_one())
