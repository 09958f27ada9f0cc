"""Waits for a SQLite file's lock where SQLite itself does not, or naps for too long."""

from __future__ import annotations

import sqlite3
import time


def execute_patiently(
    connection: sqlite3.Connection, statement: str, *, seconds: float, look_seconds: float
) -> None:
    """Execute a statement that takes a lock first of all, as often as it takes.

    SQLite answers at once that it is busy while another process makes the file one in WAL mode or
    closes the last connection to it (https://sqlite.org/wal.html, "Sometimes Queries Return
    SQLITE_BUSY In WAL Mode").

    Args:
        connection: Where it is executed.
        statement: Has no effect where it fails, such as BEGIN or a PRAGMA.
        seconds: How long the lock is waited for.
        look_seconds: Time between two looks.

    Raises:
        sqlite3.OperationalError: The file is still locked, or something else is wrong.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= deadline:
                raise
        else:
            return
        time.sleep(look_seconds)
