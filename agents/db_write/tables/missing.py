"""Says what a database lacks of a declared table."""

from __future__ import annotations

from collections.abc import Collection

from agents.db_write.tables.declaration import Table
from agents.sql.errors import StoreBroken


def check_columns(table: Table, present: Collection[str]) -> None:
    """Refuse a declaration that the database does not bear out.

    Raises:
        StoreBroken: There is no such table, or it lacks a column.
    """
    if not present:
        raise StoreBroken(
            f"Table {table.name!r}: the database has no {table.schema}.{table.table}. "
            "Make it first; Muster neither makes nor alters tables of yours."
        )
    lacking = [name for name in table.types if name not in present]
    if lacking:
        raise StoreBroken(f"Table {table.name!r} has no column {', '.join(map(repr, lacking))}.")
