"""Executes one statement for the many rows of a batch, with little between it and the driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps
from typing import Any

from sqlalchemy import Connection, Insert, bindparam, column, func, insert, select
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.sql.elements import BindParameter
from sqlalchemy.sql.visitors import replacement_traverse

_ROWS = "rows"
_ROWS_AT_ONCE = 100
"""Rows of one statement: each may carry an envelope, and Postgres takes a gigabyte at most."""

Row = Mapping[str, Any]


class ForMany:
    """A statement that is compiled once for each kind of database and set of columns.

    Values reach the driver as they are: texts, numbers, truths and None, which both drivers take.
    SQLAlchemy would look at each of them, which costs more than SQLite takes to write it. Postgres
    gets all rows as one JSON text in one statement: one for each row would cost both sides more
    than what is in it.

    Args:
        statement: An insert, update or delete whose parameters are named.
    """

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._compiled: dict[tuple[str, ...], tuple[str, Sequence[str] | None]] = {}

    def execute(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Execute for each row, all of which have the same keys; nothing where there is none."""
        if not rows:
            return
        if connection.dialect.name == "postgresql" and len(rows) > 1:
            self._execute_together(connection, rows)
            return
        sql, positions = self._compiled_for(connection, "", rows[0])
        if positions is None:
            connection.exec_driver_sql(sql, list(rows))
        else:
            connection.exec_driver_sql(sql, [tuple([row[n] for n in positions]) for row in rows])

    def _execute_together(self, connection: Connection, rows: Sequence[Row]) -> None:
        sql, _ = self._compiled_for(connection, _ROWS, rows[0])
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            text = dumps(rows[first : first + _ROWS_AT_ONCE])
            connection.exec_driver_sql(sql, {_ROWS: text})

    def _compiled_for(
        self, connection: Connection, form: str, row: Row
    ) -> tuple[str, Sequence[str] | None]:
        """Return the text, and the order of the parameters where the driver knows no names."""
        key = (connection.dialect.name, form, *row)
        known = self._compiled.get(key)
        if known is None:
            made = self._statement.compile(dialect=connection.dialect, column_keys=list(row))
            if form == _ROWS:
                made = _together(self._statement, made, list(row)).compile(
                    dialect=connection.dialect
                )
            known = self._compiled[key] = (str(made), made.positiontup)
        return known


def _together(statement: Any, made: Any, names: Sequence[str]) -> Any:
    """Return the statement for all rows of one JSON text, which has the types of its columns."""
    typed = [column(name, made.binds[name].type) for name in names]
    records = func.json_to_recordset(bindparam(_ROWS, type_=JSON))
    rows = records.table_valued(*typed).render_derived(name="given", with_types=True)
    if isinstance(statement, Insert):
        return insert(statement.table).from_select(names, select(*(rows.c[n] for n in names)))

    def given(element: Any, **_: Any) -> Any:
        named = isinstance(element, BindParameter) and element.key in names
        return rows.c[element.key] if named else None

    return replacement_traverse(statement, {}, given)
