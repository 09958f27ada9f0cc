"""Values of records as a table's cells, checked against the declared types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from agents.db_write.tables.declaration import ColumnType, Table
from envelope.canonical import canonical_json
from envelope.errors import InvalidInput
from envelope.record import Record

_INTEGERS: Final = range(-(2**63), 2**63)

Cells = Mapping[str, JsonValue]
"""By column; one that is missing is left alone, None is NULL."""


def cells_of(table: Table, record: Record, place: int) -> dict[str, JsonValue]:
    """Return the cells that `record` gives its row; ours are not among them.

    Raises:
        InvalidInput: A value is missing or does not fit its column's type; the message names
            record and column and never repeats the value.
    """
    cells: dict[str, JsonValue] = {}
    for name, column in table.columns.items():
        field = column.field or name
        needed = column.required or name in table.key
        value = record.data.get(field)
        if value is None and needed:
            raise InvalidInput(f"Record {place} of table {table.name!r}: {field!r} is needed.")
        if field in record.data:
            cells[name] = fitting(table, name, value, f"Record {place}")
    return cells


def fitting(table: Table, column: str, value: JsonValue, what: str) -> JsonValue:
    """Return `value` in the one form of its column's type; `what` names it in errors.

    Raises:
        InvalidInput: There is no such column, or it takes no such value.
    """
    kind = table.types.get(column)
    if kind is None:
        known = ", ".join(table.types)
        raise InvalidInput(f"Table {table.name!r} declares no column {column!r}; it has: {known}.")
    if value is None:
        return None
    try:
        return _FORMS[kind](value)
    except (TypeError, ValueError, OverflowError):
        problem = f"{what} of table {table.name!r}: {column!r} must be of type {kind}."
        raise InvalidInput(problem) from None


def provenance_json(record: Record, run_id: str) -> str:
    """Return what the provenance column holds."""
    provenance = record.provenance.model_dump(mode="json", exclude_none=True, exclude={"raw_row"})
    return canonical_json({**provenance, "record_id": record.id, "run_id": run_id})


def _text(value: JsonValue) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: JsonValue) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return value


def _integer(value: JsonValue) -> int:
    number = _number(value)
    if not isinstance(number, int) or number not in _INTEGERS:
        raise TypeError
    return number


def _boolean(value: JsonValue) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _moment(value: JsonValue) -> str:
    """The same moment has one spelling, or a repeated write would change it."""
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC).isoformat()


_FORMS: Final[dict[ColumnType, Callable[[JsonValue], JsonValue]]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "json": canonical_json,
    "timestamp": _moment,
    "date": lambda value: date.fromisoformat(_text(value)).isoformat(),
    "uuid": lambda value: str(UUID(_text(value))),
}
