"""Engines for the journal: one connection that writes, a few that read."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import QueuePool

from agents.sql.patience import execute_patiently
from worker.journal.stuck import SESSION

READERS = 3

_SQLITE_MODE = "PRAGMA journal_mode = WAL"
_SQLITE_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA fullfsync = ON",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 67108864",
)
_BEGIN = "BEGIN IMMEDIATE"
_SQLITE_BUSY_SECONDS = 2.0
_SQLITE_LOOK_SECONDS = 0.001

# A process that is stopped in the middle of a transaction must not hold its locks for ever, and
# a commit that was reported must be on disk whatever the server's default is. Every statement of
# the journal finds its rows by an index; a planner that knows the tables only as they were when
# they were small would read them whole, and keep to that plan for as long as it is prepared.
_POSTGRES_SESSION = """
SELECT set_config('lock_timeout', '5s', false),
       set_config('enable_seqscan', 'off', false),
       set_config('enable_hashjoin', 'off', false),
       set_config('jit', 'off', false),
       set_config('enable_mergejoin', 'off', false),
       set_config('idle_in_transaction_session_timeout', '15s', false),
       set_config('synchronous_commit',
           CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
           ELSE current_setting('synchronous_commit') END, false)
"""
_POSTGRES_CONNECT = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}


def writer_engine(url: URL, name: str = SESSION) -> Engine:
    """Return an engine with one connection whose transactions take the write lock at once.

    Args:
        url: The database.
        name: What the server knows the connection by.
    """
    engine = _engine(url, name, connections=1)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _never_nap)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def reader_engine(url: URL, name: str = SESSION) -> Engine:
    """Return an engine whose connections read one statement at a time, without a transaction."""
    engine = _engine(url, name, connections=READERS)
    return engine if engine.dialect.name == "sqlite" else _autocommit(engine)


def _engine(url: URL, name: str, connections: int) -> Engine:
    sqlite = url.get_backend_name() == "sqlite"
    engine = create_engine(
        url,
        connect_args={"timeout": _SQLITE_BUSY_SECONDS, "check_same_thread": False}
        if sqlite
        else _postgres_arguments(url, name),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
    )
    event.listen(engine, "connect", _prepare_sqlite if sqlite else _prepare_postgres)
    return engine


def _autocommit(engine: Engine) -> Engine:
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def _postgres_arguments(url: URL, name: str) -> Mapping[str, Any]:
    """What the URL says itself goes before what we would say, but for the name that we look for."""
    chosen = {key: value for key, value in _POSTGRES_CONNECT.items() if key not in url.query}
    return {**chosen, "application_name": name}


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # no BEGIN but ours
    _patiently(connection, _SQLITE_MODE)
    for pragma in _SQLITE_PRAGMAS:
        connection.execute(pragma)


def _prepare_postgres(connection: Any, _record: Any) -> None:
    before = connection.autocommit
    connection.autocommit = True
    connection.execute(_POSTGRES_SESSION)
    connection.autocommit = before


def _never_nap(connection: Any, _record: Any) -> None:
    """SQLite waits for a lock in naps of up to 100 ms, far longer than a transaction lasts."""
    connection.execute("PRAGMA busy_timeout = 0")


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock, looking for it every millisecond."""
    raw: Any = connection.connection.dbapi_connection
    with suppress(sqlite3.OperationalError):
        _patiently(raw, _BEGIN)
        return
    connection.exec_driver_sql(_BEGIN)  # what is wrong is told in SQLAlchemy's words


def _patiently(raw: sqlite3.Connection, statement: str) -> None:
    execute_patiently(
        raw, statement, seconds=_SQLITE_BUSY_SECONDS, look_seconds=_SQLITE_LOOK_SECONDS
    )
