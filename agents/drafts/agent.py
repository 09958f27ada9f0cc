"""The `drafts` agent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agents.drafts.port import KnownRecords, RunRecords
from agents.drafts.request import DraftsRequest
from agents.registry import agent
from envelope.envelope import Envelope
from envelope.errors import InvalidInput
from envelope.ports.context import AgentContext
from envelope.record import Record


@agent("drafts", concurrency=32, inline=True, timeout=60)
async def drafts(ctx: AgentContext, request: DraftsRequest) -> Envelope:
    """Return the records asked for, in that order, then all that they were made from.

    They keep their ids and their provenance, so that lineage goes on through the run that reads
    them.
    """
    records = ctx.resource(RunRecords)  # type: ignore[type-abstract] # a port is asked for by its Protocol
    known = await records.read(request.run_id, ctx.tenant)
    chosen = _chosen(known, request)
    return Envelope.from_records(
        [*chosen, *_ancestors(known, chosen)],
        source="runs",
        filters={"run_id": request.run_id, "record_ids": [record.id for record in chosen]},
    )


def _chosen(known: KnownRecords, request: DraftsRequest) -> list[Record]:
    if not request.record_ids:
        if not known.final:
            raise InvalidInput(
                f"Run {request.run_id} has no envelope with records. Name a record of one of its "
                "steps, or wait for the run's end."
            )
        return [known.final[0]]
    unknown = [name for name in request.record_ids if name not in known.by_id]
    if unknown:
        raise InvalidInput(f"Run {request.run_id} has no record {', '.join(unknown)}.")
    return [known.by_id[name] for name in dict.fromkeys(request.record_ids)]


def _ancestors(known: KnownRecords, chosen: Sequence[Record]) -> list[Record]:
    """Return each record once, parents before grandparents."""
    seen = {record.id for record in chosen}
    found: list[Record] = []
    generation = list(chosen)
    while generation:
        generation = _new_parents(known, generation, seen)
        found += generation
    return found


def _new_parents(known: KnownRecords, records: Iterable[Record], seen: set[str]) -> list[Record]:
    named = [name for record in records for name in record.provenance.derived_from]
    fresh = [name for name in dict.fromkeys(named) if name in known.by_id and name not in seen]
    seen.update(fresh)
    return [known.by_id[name] for name in fresh]
