"""Postgres databases that several threads and processes use at once, over psycopg."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, LiteralString

import psycopg
from psycopg import errors

from agents.sql.errors import ConstraintViolated, Rule, StoreBroken, StoreUnavailable, ValueRefused
from agents.sql.idle import IdleConnections
from agents.sql.postgres_url import libpq_url

_CONNECT_SECONDS = 10
# One message, and local to the transaction: behind a pooler the session belongs to others as well.
_BEGIN: Final = "BEGIN; SET LOCAL statement_timeout = '60s'"
_RULES: Final[dict[type[psycopg.Error], Rule]] = {
    errors.UniqueViolation: "unique",
    errors.ForeignKeyViolation: "foreign_key",
    errors.NotNullViolation: "not_null",
    errors.CheckViolation: "check",
    errors.ExclusionViolation: "exclusion",
}
_SCHEMA_LOCK = 7_305_208_861_245

Connection = psycopg.Connection[tuple[object, ...]]


class PostgresDatabase:
    """A Postgres database, connected on first use.

    It works behind a pooler in transaction mode, such as Supabase's on port 6543: it prepares no
    statements and leaves nothing in the session.

    Args:
        url: `postgresql://user:password@host/name?sslmode=require`; see `libpq_url`.
        present: A query that says whether the schema below is there already. Statements with
            IF NOT EXISTS would lock tables and ask for rights even where there is nothing to do.
        schema: Statements that make what is missing.
    """

    def __init__(self, url: str, present: LiteralString, schema: Sequence[LiteralString]) -> None:
        self._url = url
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
            ConstraintViolated: A row breaks a rule of its table.
            ValueRefused: A value does not fit its column.
            StoreBroken: It refuses the statement, or the URL cannot be read.
        """
        try:
            # A connection over which an error passed is closed, which rolls back.
            with self._connections.borrow() as connection:
                connection.execute(_BEGIN)
                yield connection
                _commit(connection)
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
            libpq_url(self._url),
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
            application_name="muster-agents",
            prepare_threshold=None,  # poolers between us and the server lose prepared statements
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: Connection) -> None:
        if self._prepared:
            return
        with self._preparing:
            connection.execute(_BEGIN)
            self.lock_schema(connection)
            row = connection.execute(self._present).fetchone()
            for statement in () if row and row[0] else self._schema:
                connection.execute(statement)
            _commit(connection)
            self._prepared = True


def _commit(connection: Connection) -> None:
    """Commit, and notice that the server rolls an aborted transaction back without an error."""
    if connection.execute("COMMIT").statusmessage != "COMMIT":
        raise StoreBroken("The store's Postgres rolled back: a statement before had failed.")


def _explained(error: psycopg.Error) -> StoreUnavailable | StoreBroken:
    """The first line names tables and rules; values and passwords stand in none of them."""
    said = _first_line(error)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreUnavailable(f"The store's Postgres is away or busy: {said}")
    if isinstance(error, psycopg.IntegrityError) and type(error) in _RULES:
        name = error.diag.constraint_name or error.diag.column_name or ""
        return ConstraintViolated(
            f"The row breaks a rule of its table: {said}", rule=_RULES[type(error)], name=name
        )
    if isinstance(error, psycopg.DataError):
        # The server's text repeats the value; the error's name, NumericValueOutOfRange, does not.
        kind = re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
        return ValueRefused(f"A value does not fit its column: {kind}.")
    return StoreBroken(f"The store's Postgres refuses the work: {said}")


def _first_line(error: psycopg.Error) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
