"""The `table_write` agent."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from agents.db_write.port import Outcome
from agents.db_write.tables.cells import cells_of, provenance_json
from agents.db_write.tables.declaration import TABLES, Table
from agents.db_write.tables.port import TableStore
from agents.registry import agent
from envelope.canonical import canonical_json
from envelope.envelope import Envelope
from envelope.errors import InvalidInput
from envelope.model import AsTuple, Contract
from envelope.ports.context import AgentContext
from envelope.record import Record

_LONGEST_ROW_ID = 2_048


class TableWriteRequest(Contract):
    """Records to write into a declared table, one row each.

    Attributes:
        table: The table, as `declare_table` named it.
        records: What to write, in one transaction, 1 to 1,000.
    """

    table: Annotated[str, Field(min_length=1, max_length=63)]
    records: Annotated[tuple[Record, ...], AsTuple, Field(min_length=1, max_length=1_000)]


@agent("table_write", concurrency=16, inline=True, timeout=120)
def table_write(ctx: AgentContext, request: TableWriteRequest) -> Envelope:
    """Write the records and return a receipt for each, derived from the record written.

    Fields that are not declared are not written. The same step executed twice leaves the same rows:
    the second execution finds them unchanged.
    """
    table = TABLES.get(request.table)
    rows = [
        _row(ctx, table, record, place) for place, record in enumerate(request.records, start=1)
    ]
    _check_keys_differ(table, rows)
    outcomes = ctx.resource(TableStore).upsert(table, rows)  # type: ignore[type-abstract] # a port is asked for by its Protocol
    receipts = [
        _receipt(table, record, row, outcome)
        for record, row, outcome in zip(request.records, rows, outcomes, strict=True)
    ]
    return Envelope.from_records(receipts, source=f"table:{table.name}")


def _row(ctx: AgentContext, table: Table, record: Record, place: int) -> dict[str, JsonValue]:
    cells = cells_of(table, record, place)
    if table.tenant_column:
        cells[table.tenant_column] = ctx.tenant
    if table.provenance_column:
        cells[table.provenance_column] = provenance_json(record, ctx.run_id)
    return cells


def _check_keys_differ(table: Table, rows: list[dict[str, JsonValue]]) -> None:
    keys = [canonical_json([row[column] for column in table.key]) for row in rows]
    if len(set(keys)) < len(keys):
        raise InvalidInput(
            f"Two records of table {table.name!r} have the same key; the second would replace "
            "the first."
        )


def _receipt(table: Table, record: Record, row: dict[str, JsonValue], outcome: Outcome) -> Record:
    key = {column: row[column] for column in table.key}
    return Record.of(
        {"table": table.name, "key": key, "record_id": record.id, "outcome": outcome},
        source=f"table:{table.name}",
        row_id=canonical_json(list(key.values()))[:_LONGEST_ROW_ID],
        derived_from=(record.id,),
    )
