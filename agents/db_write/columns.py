"""The one layout that every record table has, and rows to and from it.

Columns:
    tenant, id: The primary key; `id` is the write's key.
    record_id: The record's content hash.
    run_id: The run that wrote the row last.
    data: The record's data as canonical JSON, byte for byte what was hashed.
    source, row_id, sha256, retrieved_at, agent, model, prompt_sha256, derived_from, raw_row:
        Its provenance.
    updated_at: When the row last changed, by the database's clock, in UTC.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from pydantic import ValidationError

from agents.db_write.port import StoredRecord
from agents.db_write.request import table_name
from agents.sql.errors import StoreBroken
from envelope.canonical import canonical_json
from envelope.errors import InvalidInput
from envelope.record import Record

PROVENANCE: Final = (
    "source",
    "row_id",
    "sha256",
    "retrieved_at",
    "agent",
    "model",
    "prompt_sha256",
    "derived_from",
    "raw_row",
)
WRITTEN: Final = ("tenant", "id", "run_id", "record_id", "data", *PROVENANCE)
ALL: Final = frozenset({*WRITTEN, "updated_at"})
JSON_COLUMNS: Final = ("data", "derived_from", "raw_row")
_FIELD: Final = re.compile(r"[\w .-]{1,200}")


def checked_table(table: str) -> str:
    """Return `table` once more checked: this is the last line before it becomes SQL.

    Raises:
        StoreBroken: It is not an allowed name.
    """
    try:
        return table_name(table)
    except ValueError as problem:
        raise StoreBroken(f"Table {table[:80]!r}: {problem}.") from None


def check_rows(rows: Sequence[StoredRecord]) -> None:
    """Refuse rows that would replace each other.

    Raises:
        InvalidInput: Two have one tenant and key.
    """
    if len({(row.tenant, row.key) for row in rows}) < len(rows):
        raise InvalidInput("Two rows have the same key; the second would replace the first.")


def check_fields(fields: Iterable[str]) -> None:
    """Refuse names of data fields that cannot stand in a JSON path.

    Raises:
        InvalidInput: One holds other characters than letters, digits, `_`, `.`, `-` and blanks.
    """
    for field in fields:
        if _FIELD.fullmatch(field) is None:
            raise InvalidInput(f"Records cannot be selected by the field {field[:80]!r}.")


def values(row: StoredRecord) -> tuple[str | None, ...]:
    """Return the row's values in the order of `WRITTEN`."""
    record = row.record.model_dump(mode="json")
    provenance = record["provenance"]
    given = {
        "tenant": row.tenant,
        "id": row.key,
        "run_id": row.run_id,
        "record_id": row.record.id,
        **{name: provenance[name] for name in PROVENANCE},
        "data": record["data"],
    }
    return tuple(_text(name, given[name]) for name in WRITTEN)


def stored(row: Sequence[Any]) -> StoredRecord:
    """Read a row of `WRITTEN` back.

    Raises:
        StoreBroken: The row was changed by something else: its hashes no longer fit.
    """
    held = dict(zip(WRITTEN, row, strict=True))
    held |= {name: json.loads(held[name]) for name in JSON_COLUMNS if held[name] is not None}
    provenance = {name: held[name] for name in PROVENANCE}
    form = {"id": held["record_id"], "data": held["data"], "provenance": provenance}
    try:
        record = Record.model_validate_json(canonical_json(form))
    except ValidationError:
        raise StoreBroken(f"Row {held['id']!r} was changed: its hashes do not fit.") from None
    return StoredRecord(tenant=held["tenant"], key=held["id"], run_id=held["run_id"], record=record)


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    return canonical_json(value) if name in JSON_COLUMNS else str(value)


def foreign_table(table: str) -> StoreBroken:
    """Make the error of a table that something else made."""
    return StoreBroken(
        f"Table {table!r} exists and has other columns than a record table. Use another name."
    )
