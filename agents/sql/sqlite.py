"""SQLite files that several threads and processes use at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from agents.sql.errors import ConstraintViolated, Rule, StoreBroken, StoreUnavailable, ValueRefused
from agents.sql.idle import IdleConnections
from agents.sql.patience import execute_patiently

_BUSY_SECONDS = 30.0
_LOOK_SECONDS = 0.01
_TRANSIENT = ("locked", "busy", "disk i/o", "unable to open")
_RULES: Final[dict[str, Rule]] = {
    "SQLITE_CONSTRAINT_UNIQUE": "unique",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "unique",
    "SQLITE_CONSTRAINT_ROWID": "unique",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreign_key",
    "SQLITE_CONSTRAINT_NOTNULL": "not_null",
    "SQLITE_CONSTRAINT_CHECK": "check",
}


class SqliteFile:
    """A SQLite file in WAL mode with full sync, opened on first use.

    Args:
        path: The file; its folder is made where it is missing.
        schema: Statements that are run once per process and must be repeatable.
    """

    def __init__(self, path: Path | str, schema: Sequence[str] = ()) -> None:
        self.path = Path(path)
        self._schema = schema
        self._connections = IdleConnections(self._open)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection for statements that only read; they see one state of the file.

        Raises:
            StoreUnavailable: The file is locked for too long or the disk fails.
            ConstraintViolated: A row breaks a rule of its table.
            ValueRefused: A value does not fit its column of a STRICT table.
            StoreBroken: The file is no SQLite database, or SQLite refuses the statement.
        """
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection inside a transaction that has the write lock; errors as `reading`.

        The lock is taken at the start: a transaction that reads first and writes later could
        only fail, not wait, when another process wrote in between.
        """
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def close(self) -> None:
        """Close the idle connections."""
        self._connections.close()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        try:
            with self._connections.borrow() as connection:
                _begin(connection, begin)
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _open(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreBroken(f"The folder of {self.path.name} cannot be made: {error}.") from error
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        _begin(connection, "PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if not self._schema or connection.execute("PRAGMA user_version").fetchone()[0]:
            return
        _begin(connection, "BEGIN IMMEDIATE")
        for statement in self._schema:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        connection.execute("COMMIT")

    def _explained(self, error: sqlite3.Error) -> StoreUnavailable | StoreBroken:
        text = str(error)
        if any(sign in text.lower() for sign in _TRANSIENT):
            return StoreUnavailable(f"The store {self.path.name} is busy or its disk fails: {text}")
        code = getattr(error, "sqlite_errorname", "")
        if code in _RULES:
            return ConstraintViolated(
                f"The row breaks a rule of its table: {text}",
                rule=_RULES[code],
                name=text.partition(": ")[2],
            )
        if code == "SQLITE_CONSTRAINT_DATATYPE":
            return ValueRefused(f"A value does not fit its column: {text}.")
        return StoreBroken(f"The store {self.path.name} cannot be used: {text}")


def _begin(connection: sqlite3.Connection, statement: str) -> None:
    execute_patiently(connection, statement, seconds=_BUSY_SECONDS, look_seconds=_LOOK_SECONDS)
