"""Declared tables in a SQLite file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from agents.db_write.port import Outcome
from agents.db_write.tables.cells import Cells, fitting
from agents.db_write.tables.declaration import ColumnType, Table
from agents.db_write.tables.missing import check_columns
from agents.db_write.tables.port import Row
from agents.sql.sqlite import SqliteFile


class SqliteTables:
    """A `TableStore` in a SQLite file, which several processes may share.

    Args:
        path: The file.
    """

    def __init__(self, path: Path | str) -> None:
        self._file = SqliteFile(path)

    def upsert(self, table: Table, rows: Sequence[Cells]) -> list[Outcome]:
        """Write `rows` in one transaction; see `TableStore.upsert`."""
        with self._file.writing() as connection:
            _check(connection, table)
            return [_write(connection, table, row) for row in rows]

    def select(
        self,
        table: Table,
        *,
        where: Mapping[str, JsonValue],
        after: Sequence[JsonValue] | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Return a page of rows; see `TableStore.select`."""
        columns = list(table.types)
        conditions = [f"{_quoted(name)} IS ?" for name in where]
        values = [fitting(table, name, value, "A condition") for name, value in where.items()]
        if after is not None:
            conditions.append(f"({_listed(table.conflict)}) > ({_marks(table.conflict)})")
            values += list(after)
        found = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        statement = (
            f"SELECT {_listed(columns)} FROM {_quoted(table.table)}{found}"  # noqa: S608 - declared names, quoted
            f" ORDER BY {_listed(table.conflict)} LIMIT ?"
        )
        with self._file.reading() as connection:
            _check(connection, table)
            held = connection.execute(statement, [*values, limit]).fetchall()
        return [_row(table, columns, cells) for cells in held]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _check(connection: sqlite3.Connection, table: Table) -> None:
    rows = connection.execute("SELECT name FROM pragma_table_xinfo(?)", [table.table])
    check_columns(table, {row[0] for row in rows})


def _write(connection: sqlite3.Connection, table: Table, row: Cells) -> Outcome:
    key = [row[column] for column in table.conflict]
    same = " AND ".join(f"{_quoted(column)} IS ?" for column in table.conflict)
    present = connection.execute(
        f"SELECT 1 FROM {_quoted(table.table)} WHERE {same}",  # noqa: S608 - declared names, quoted
        key,
    ).fetchone()
    made = connection.execute(_upsert(table, row), list(row.values()))
    if not present:
        return "inserted"
    return "updated" if made.rowcount else "unchanged"


def _upsert(table: Table, row: Cells) -> str:
    changed = [column for column in row if column not in table.conflict]
    judged = [column for column in changed if column != table.provenance_column]
    differs = " OR ".join(
        f"held.{_quoted(name)} IS NOT excluded.{_quoted(name)}" for name in judged
    )
    sets = ", ".join(f"{_quoted(name)} = excluded.{_quoted(name)}" for name in changed)
    update = f"UPDATE SET {sets} WHERE {differs}" if judged else "NOTHING"
    return (
        f"INSERT INTO {_quoted(table.table)} AS held ({_listed(row)}) VALUES ({_marks(row)})"  # noqa: S608 - declared names, quoted
        f" ON CONFLICT ({_listed(table.conflict)}) DO {update}"
    )


def _row(table: Table, columns: Sequence[str], cells: Sequence[Any]) -> Row:
    types = table.types
    return {name: _as_json(types[name], cell) for name, cell in zip(columns, cells, strict=True)}


def _as_json(kind: ColumnType, cell: Any) -> JsonValue:
    if cell is None:
        return None
    if kind == "boolean":
        return bool(cell)
    made: JsonValue = json.loads(cell) if kind == "json" else cell
    return made


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(_quoted, names))


def _marks(names: Iterable[str]) -> str:
    return ", ".join("?" for _ in names)
