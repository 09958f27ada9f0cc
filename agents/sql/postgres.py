"""Postgres databases that several threads and processes use at once, over psycopg."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import LiteralString

import psycopg

from agents.sql.errors import StoreBroken, StoreUnavailable
from agents.sql.idle import IdleConnections

_CONNECT_SECONDS = 10
_TIME_LIMIT = "60s"
_DRIVER = re.compile(r"\Apostgres(?:ql)?(?:\+psycopg)?://")
_SCHEMA_LOCK = 7_305_208_861_245

Connection = psycopg.Connection[tuple[object, ...]]


class PostgresDatabase:
    """A Postgres database, connected on first use.

    Args:
        url: `postgresql://user:password@host/name`; a driver such as `+psycopg` is dropped.
        present: A query that says whether the schema below is there already. Statements with
            IF NOT EXISTS would lock tables and ask for rights even where there is nothing to do.
        schema: Statements that make what is missing.
    """

    def __init__(self, url: str, present: LiteralString, schema: Sequence[LiteralString]) -> None:
        self._url = _DRIVER.sub("postgresql://", url)
        self._present = present
        self._schema = schema
        self._prepared = False
        self._preparing = threading.Lock()
        self._connections = IdleConnections(self._open)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Lend a connection inside a transaction.

        Raises:
            StoreUnavailable: The database is away, busy or broke off.
            StoreBroken: It refuses the statement.
        """
        try:
            with self._connections.borrow() as connection, connection.transaction():
                yield connection
        except psycopg.Error as error:
            if isinstance(error, psycopg.OperationalError):
                # A server that restarted has broken every connection, not only this one.
                self._connections.drop_idle()
            raise _explained(error) from error

    def lock_schema(self, connection: Connection) -> None:
        """Make this transaction the only one that changes tables: IF NOT EXISTS alone races."""
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_SCHEMA_LOCK])

    def close(self) -> None:
        """Close the idle connections."""
        self._connections.close()

    def _open(self) -> Connection:
        connection = psycopg.connect(
            self._url,
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
            application_name="muster-agents",
            prepare_threshold=None,  # poolers between us and the server lose prepared statements
        )
        try:
            connection.execute("SELECT set_config('statement_timeout', %s, false)", [_TIME_LIMIT])
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: Connection) -> None:
        if self._prepared:
            return
        with self._preparing, connection.transaction():
            self.lock_schema(connection)
            row = connection.execute(self._present).fetchone()
            for statement in () if row and row[0] else self._schema:
                connection.execute(statement)
            self._prepared = True


def _explained(error: psycopg.Error) -> StoreUnavailable | StoreBroken:
    """The server's own text names tables, never the password; a connection error names the host."""
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreUnavailable(f"The store's Postgres is away or busy: {_first_line(error)}")
    return StoreBroken(f"The store's Postgres refuses the work: {_first_line(error)}")


def _first_line(error: psycopg.Error) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
