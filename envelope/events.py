"""The one catalogue of events. Logs, metrics and traces subscribe to it."""

from __future__ import annotations

from enum import StrEnum


class EventType(StrEnum):
    """What the engine tells about a run. Flows and agents add their own names with `emit`."""

    RUN_QUEUED = "run.queued"
    RUN_STARTED = "run.started"
    RUN_RESUMED = "run.resumed"
    RUN_RELEASED = "run.released"
    RUN_LOST = "run.lost"
    RUN_ISOLATED = "run.isolated"
    RUN_WAITING = "run.waiting"
    RUN_WOKEN = "run.woken"
    RUN_SIGNALLED = "run.signalled"
    RUN_CANCELLING = "run.cancelling"
    RUN_APPROVAL_REQUESTED = "run.approval_requested"
    RUN_APPROVAL_DECIDED = "run.approval_decided"
    RUN_SUCCEEDED = "run.succeeded"
    RUN_FAILED = "run.failed"
    RUN_CANCELLED = "run.cancelled"
    RUN_DEAD = "run.dead"
    STEP_QUEUED = "step.queued"
    STEP_STARTED = "step.started"
    STEP_RETRIED = "step.retried"
    STEP_LOST = "step.lost"
    STEP_SUCCEEDED = "step.succeeded"
    STEP_FAILED = "step.failed"
    EFFECT_INTENDED = "effect.intended"
    EFFECT_SENT = "effect.sent"
    EFFECT_FAILED = "effect.failed"
    EFFECT_UNKNOWN = "effect.unknown"


TERMINAL_EVENTS = frozenset(
    {
        EventType.RUN_SUCCEEDED,
        EventType.RUN_FAILED,
        EventType.RUN_CANCELLED,
        EventType.RUN_DEAD,
    }
)
"""Exactly one of these ends a run's events."""
