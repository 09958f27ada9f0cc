"""Turns an event into a run that the journal can accept, or says what is wrong with it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from control.event import Event
from envelope.canonical import canonical_json, sha256_hex
from envelope.errors import InvalidInput
from envelope.ids import new_id
from envelope.ports.journal_rows import Run
from envelope.ports.journal_writes import NewRun, Replay
from envelope.signature import check_bytes, to_canonical
from orchestrators.definition import FlowDefinition
from orchestrators.registry import FLOWS
from orchestrators.singleton import singleton_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """The run that an event repeats, and what the new run takes over of it.

    Attributes:
        run: The run; the new one has its version, and its own key where a template needs one.
        replay: What the journal copies.
    """

    run: Run
    replay: Replay


def admit(
    event: Event,
    payload_max_bytes: int,
    repetition: Repetition | None = None,
    trace_id: str | None = None,
) -> NewRun:
    """Resolve the flow, validate the payload and describe the run.

    Args:
        event: The trigger.
        payload_max_bytes: Largest payload, as JSON.
        repetition: The run that it repeats.
        trace_id: The caller's trace, which an event that names none belongs to; None for a new one.

    Raises:
        NotRegistered: There is no such flow or version; the message lists what exists.
        InvalidInput: The payload does not fit the flow's model, or the flow's singleton template
            needs what the event does not say; the message names the field.
        TooLarge: The payload is larger than `payload_max_bytes`.
    """
    flow = FLOWS.get(event.flow, repetition.run.version if repetition else None)
    payload = _checked_payload(flow, event.payload, payload_max_bytes)
    return NewRun(
        run_id=new_id(),
        flow=flow.name,
        version=flow.version,
        payload=payload,
        payload_sha256=sha256_hex(payload),
        source=event.source,
        tenant=event.tenant,
        user=event.user,
        thread=event.thread,
        key=event.key,
        tags=event.tags,
        priority=event.priority,
        delay_seconds=event.wait_seconds,
        allow_delivery=event.allow_delivery,
        trace_id=event.trace_id or trace_id or secrets.token_hex(16),
        singleton=_singleton(flow, event, payload, repetition),
        on_conflict=flow.on_conflict,
        budget_tokens=event.budget_tokens,
        budget_usd=event.budget_usd,
        replay=repetition.replay if repetition else None,
    )


def _singleton(
    flow: FlowDefinition, event: Event, payload: str, repetition: Repetition | None
) -> str | None:
    said = {
        "tenant": event.tenant,
        "user": event.user,
        "thread": event.thread,
        "key": repetition.run.key if repetition else event.key,
    }
    return singleton_key(flow, said, payload)


def _checked_payload(flow: FlowDefinition, payload: Any, max_bytes: int) -> str:
    """Measured before it is validated, so that a huge one costs little, and after: defaults add."""
    if isinstance(payload, BaseModel):
        payload = payload.model_dump(mode="json")
    if not isinstance(payload, dict):
        raise InvalidInput(
            f"Flow {flow.name!r} takes an object as payload, not {type(payload).__name__}."
        )
    check_bytes(canonical_json(payload), max_bytes, "The payload")
    text = to_canonical(payload, flow.model)
    check_bytes(text, max_bytes, "The payload")
    return text
