"""Executes one statement for the many rows of a batch, with little between it and the driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection


class ForMany:
    """A statement that is compiled once for each kind of database and set of columns.

    Values reach the driver as they are: texts, numbers, truths and None, which both drivers take.
    SQLAlchemy would look at each of them, which costs more than SQLite takes to write it.

    Args:
        statement: An insert, update or delete whose parameters are named.
    """

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._compiled: dict[tuple[str, ...], tuple[str, Sequence[str] | None]] = {}

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute for each row, all of which have the same keys; nothing where there is none."""
        if not rows:
            return
        sql, positions = self._for(connection, rows[0])
        if positions is None:
            connection.exec_driver_sql(sql, list(rows))
        else:
            connection.exec_driver_sql(sql, [tuple([row[n] for n in positions]) for row in rows])

    def _for(
        self, connection: Connection, row: Mapping[str, Any]
    ) -> tuple[str, Sequence[str] | None]:
        """Return the text, and the order of the parameters where the driver knows no names."""
        key = (connection.dialect.name, *row)
        known = self._compiled.get(key)
        if known is None:
            made = self._statement.compile(dialect=connection.dialect, column_keys=list(row))
            known = self._compiled[key] = (str(made), made.positiontup)
        return known
