"""The `delivery` flow: read → prepare → clear → send, for every draft by itself."""

from __future__ import annotations

from functools import partial

from envelope.effect import Gated, Missing
from envelope.envelope import Envelope, Status
from envelope.errors import InvalidEnvelope, Terminal
from envelope.failure import Failure
from envelope.ports.context import RunContext
from envelope.record import Record
from orchestrators.delivery.clearance import answered_this_run, clear, may_come, only_quiet
from orchestrators.delivery.ordering import order
from orchestrators.delivery.outcome import Outcome, envelope_of, gated_failure
from orchestrators.delivery.prepared import Prepared
from orchestrators.delivery.request import DeliveryRequest, DraftToSend
from orchestrators.flow.places import within
from orchestrators.flow.step import Step
from orchestrators.registry import orchestrator

_DRAWING = (
    Step("drafts", key="read") >> Step("email_prepare", key="prepare") >> Step("email", key="send")
)
"""What is done for each draft, on the channel `email`."""


@orchestrator("delivery", version=1, drawing=_DRAWING)
async def delivery(ctx: RunContext, request: DeliveryRequest) -> Envelope:
    """Send drafts of earlier runs, each to its recipient, at most once whatever run does it.

    Every draft goes its own way: one that waits for a person, or is kept back, holds up no other.
    The envelope has a record for each that was sent, derived from the draft; its error says of the
    others what is missing.
    """
    ways = [_outcome(ctx, request, entry) for entry in request.drafts]
    return envelope_of(await ctx.gather(*ways))


async def _outcome(ctx: RunContext, request: DeliveryRequest, entry: DraftToSend) -> Outcome:
    try:
        return Outcome(entry=entry, sent=await _sent(ctx, request, entry))
    except Gated as gated:
        return Outcome(entry=entry, failure=gated_failure(gated))
    except Terminal as error:
        return Outcome(entry=entry, failure=Failure.of(error))


async def _sent(ctx: RunContext, request: DeliveryRequest, entry: DraftToSend) -> Record:
    draft, *rows = await _read(ctx, entry)
    prepared = await _prepare(ctx, request, entry, draft, rows)
    made = await _send(ctx, request, prepared)
    if not made.records:
        raise InvalidEnvelope(f"Agent {request.channel} returned no record of what it sent.")
    return _record(prepared, draft, made.records[0])


async def _read(ctx: RunContext, entry: DraftToSend) -> tuple[Record, ...]:
    names = [entry.record_id] if entry.record_id else []
    found = await ctx.call("drafts", {"run_id": entry.run_id, "record_ids": names}, key="read")
    return found.records


async def _prepare(
    ctx: RunContext,
    request: DeliveryRequest,
    entry: DraftToSend,
    draft: Record,
    rows: list[Record],
) -> Prepared:
    asked = order(request, entry, draft, rows)
    made = await ctx.call(f"{request.channel}_prepare", asked, key="prepare")
    return Prepared.of(made, request.channel).keyed(ctx.tenant, draft.id).warned(draft)


async def _send(ctx: RunContext, request: DeliveryRequest, prepared: Prepared) -> Envelope:
    """Send once nothing is missing. The gate is asked again at the intent, which counts."""
    number = 0
    while True:
        number += 1
        clearing = partial(clear, ctx, prepared, request.on_quiet)
        await within(ctx, f"clear {number}", clearing)
        key = "send" if number == 1 else f"send-{number}"
        made = await ctx.call(request.channel, prepared.request, key=key)
        if made.status is not Status.GATED:
            return made
        if not await within(ctx, f"gated {number}", partial(answered_this_run, ctx)):
            continue
        missing = _missing(made)
        if not (only_quiet(missing) and may_come(missing, request.on_quiet)):
            raise Gated(missing)


def _missing(made: Envelope) -> list[Missing]:
    told = made.error.details.get("missing") if made.error else None
    rows = told if isinstance(told, list) else []
    return [Missing(**row) for row in rows if isinstance(row, dict)]  # type: ignore[arg-type] # as `gated` envelopes hold it


def _record(prepared: Prepared, draft: Record, receipt: Record) -> Record:
    return Record.of(
        {
            "channel": prepared.channel,
            "recipients": list(prepared.recipients),
            "title": prepared.title,
            "key": prepared.key,
            "sha256": prepared.effect.sha256,
            "draft": draft.id,
            "sent_before": receipt.data.get("sent_before", False),
            "receipt": receipt.data.get("receipt", {}),
        },
        source="delivery",
        row_id=prepared.key,
        derived_from=(draft.id, receipt.id),
    )
