"""Record tables in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from agents.db_write.columns import ALL, WRITTEN, checked_table, foreign_table, stored, values
from agents.db_write.port import Outcome, StoredRecord
from agents.sql.sqlite import SqliteFile

_NOW = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')"


class SqliteRecords:
    """A `RecordStore` in a SQLite file, which several processes may share.

    Args:
        path: The file; it and its folder are made on first use. Not the journal's file.
    """

    def __init__(self, path: Path | str) -> None:
        self._file = SqliteFile(path)

    def upsert(self, table: str, rows: Sequence[StoredRecord]) -> list[Outcome]:
        """Write `rows` in one transaction; see `RecordStore.upsert`."""
        name = checked_table(table)
        with self._file.writing() as connection:
            _make_table(connection, name)
            return [_write(connection, name, row) for row in rows]

    def read(self, table: str, tenant: str, key: str) -> StoredRecord | None:
        """Return one row; see `RecordStore.read`."""
        name = checked_table(table)
        with self._file.reading() as connection:
            if not _columns(connection, name):
                return None
            row = connection.execute(
                f'SELECT {", ".join(WRITTEN)} FROM "{name}" WHERE tenant = ? AND id = ?',  # noqa: S608 - names were checked
                [tenant, key],
            ).fetchone()
        return stored(row) if row else None

    def count(self, table: str, tenant: str) -> int:
        """Count the rows of a tenant."""
        name = checked_table(table)
        with self._file.reading() as connection:
            if not _columns(connection, name):
                return 0
            row = connection.execute(
                f'SELECT count(*) FROM "{name}" WHERE tenant = ?',  # noqa: S608 - names were checked
                [tenant],
            ).fetchone()
        return int(row[0])

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    """Return the table's columns; none where there is no such table."""
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", [table])
    found = {row[0] for row in rows}
    if found and found != ALL:
        raise foreign_table(table)
    return found


def _make_table(connection: sqlite3.Connection, table: str) -> None:
    if _columns(connection, table):
        return
    nullable = {"agent", "model", "prompt_sha256", "raw_row"}
    columns = [f"{name} TEXT{'' if name in nullable else ' NOT NULL'}" for name in WRITTEN]
    connection.execute(
        f'CREATE TABLE "{table}"({", ".join(columns)}, updated_at TEXT NOT NULL,'
        " PRIMARY KEY(tenant, id))"
    )


def _write(connection: sqlite3.Connection, table: str, row: StoredRecord) -> Outcome:
    present = connection.execute(
        f'SELECT record_id, run_id FROM "{table}" WHERE tenant = ? AND id = ?',  # noqa: S608 - names were checked
        [row.tenant, row.key],
    ).fetchone()
    if present == (row.record.id, row.run_id):
        return "unchanged"
    marks = ", ".join("?" for _ in WRITTEN)
    connection.execute(
        f'INSERT OR REPLACE INTO "{table}"({", ".join(WRITTEN)}, updated_at)'  # noqa: S608 - names were checked
        f" VALUES ({marks}, {_NOW})",
        values(row),
    )
    return "updated" if present else "inserted"
