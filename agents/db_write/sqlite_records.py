"""Record tables in a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from agents.db_write.columns import (
    ALL,
    WRITTEN,
    check_fields,
    check_rows,
    checked_table,
    foreign_table,
    stored,
    values,
)
from agents.db_write.port import Outcome, Scalar, StoredRecord
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
        check_rows(rows)
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

    def page(
        self,
        table: str,
        tenant: str,
        *,
        where: Mapping[str, Scalar] | None = None,
        after: str = "",
        limit: int = 100,
    ) -> list[StoredRecord]:
        """Return rows of a tenant; see `RecordStore.page`."""
        name = checked_table(table)
        wanted = dict(where or {})
        check_fields(wanted)
        conditions = "".join(f" AND {_condition(value)}" for value in wanted.values())
        asked = [part for field, value in wanted.items() for part in _asked(field, value)]
        with self._file.reading() as connection:
            if not _columns(connection, name):
                return []
            rows = connection.execute(
                f'SELECT {", ".join(WRITTEN)} FROM "{name}" WHERE tenant = ? AND id > ?{conditions}'  # noqa: S608 - names were checked
                " ORDER BY id LIMIT ?",
                [tenant, after, *asked, limit],
            ).fetchall()
        return [stored(row) for row in rows]

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


def _condition(value: Scalar) -> str:
    if value is None:
        return "json_extract(data, ?) IS NULL"
    if isinstance(value, bool):
        return "json_type(data, ?) = ?"
    if isinstance(value, str):
        return "json_type(data, ?) = 'text' AND json_extract(data, ?) = ?"
    return "json_type(data, ?) IN ('integer', 'real') AND json_extract(data, ?) = ?"


def _asked(field: str, value: Scalar) -> list[Scalar]:
    path = f'$."{field}"'
    if value is None:
        return [path]
    if isinstance(value, bool):
        return [path, "true" if value else "false"]
    return [path, path, value]


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
