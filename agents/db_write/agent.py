"""The `db_write` agent."""

from __future__ import annotations

from agents.db_write.port import Outcome, RecordStore, StoredRecord
from agents.db_write.request import DbWriteRequest, Write
from agents.registry import agent
from envelope.envelope import Envelope
from envelope.ports.context import AgentContext
from envelope.record import Record


@agent("db_write", concurrency=16, inline=True, timeout=120)
def db_write(ctx: AgentContext, request: DbWriteRequest) -> Envelope:
    """Write the records and return a receipt for each, derived from the record written.

    The same step executed twice leaves one row: the second execution finds it unchanged.
    """
    store = ctx.resource(RecordStore)  # type: ignore[type-abstract] # a port is asked for by its Protocol
    rows = [
        StoredRecord(tenant=ctx.tenant, key=write.key, run_id=ctx.run_id, record=write.record)
        for write in request.writes
    ]
    outcomes = store.upsert(request.table, rows)
    receipts = [
        _receipt(request.table, write, outcome)
        for write, outcome in zip(request.writes, outcomes, strict=True)
    ]
    return Envelope.from_records(receipts, source=f"table:{request.table}")


def _receipt(table: str, write: Write, outcome: Outcome) -> Record:
    return Record.of(
        {"table": table, "key": write.key, "record_id": write.record.id, "outcome": outcome},
        source=f"table:{table}",
        row_id=write.key,
        derived_from=(write.record.id,),
    )
