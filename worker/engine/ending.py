"""How a run ended, decided from what its coroutine did and why it was stopped."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

from envelope.envelope import Envelope, Status
from envelope.errors import Cancelled, InvalidEnvelope, LostTooOften
from envelope.events import EventType
from envelope.failure import Failure, trace_text
from envelope.ports.journal_rows import RunState, Waits
from envelope.ports.journal_writes import NewEvent, RunEnd
from worker.engine.execution import RunExecution, Stop

_EVENTS = {
    RunState.FAILED: EventType.RUN_FAILED,
    RunState.CANCELLED: EventType.RUN_CANCELLED,
    RunState.DEAD: EventType.RUN_DEAD,
}


@dataclass(frozen=True, slots=True)
class Ending:
    """What the engine commits; `end` is None where it must write nothing."""

    end: RunEnd | None
    event: NewEvent | None = None


def released() -> Ending:
    """Give the run back for another worker to go on with."""
    return Ending(RunEnd(state=RunState.QUEUED), NewEvent(type=EventType.RUN_RELEASED))


def suspended(waits: Waits) -> Ending:
    """Drop the run until the first of what it waits for has come."""
    data = {
        "until": waits.until,
        "signals": sorted(waits.signals),
        "children": list(waits.children),
    }
    event = NewEvent(type=EventType.RUN_WAITING, data=json.dumps(data))
    return Ending(RunEnd(state=RunState.WAITING, waits=waits), event)


def ending_of(execution: RunExecution, task: asyncio.Task[Envelope], max_bytes: int) -> Ending:
    """Decide how the run ended."""
    match execution.stop_reason:
        case Stop.FENCED:
            return Ending(None)
        case Stop.RELEASED:
            return _of_task(execution, task, max_bytes) if _finished(task) else released()
        case Stop.SUSPENDED if execution.waits is not None:
            return suspended(execution.waits)
        case Stop.CANCELLED:
            return _cancelled(execution, task)
        case Stop.BROKEN if execution.error is not None:
            return _failed(execution.error, RunState.FAILED)
        case _:
            return _of_task(execution, task, max_bytes)


def _finished(task: asyncio.Task[Envelope]) -> bool:
    return not task.cancelled() and task.exception() is None


def _cancelled(execution: RunExecution, task: asyncio.Task[Envelope]) -> Ending:
    """A compensation that failed is told; it leaves something for a person to mend."""
    reason = execution.stop_detail or "cancelled"
    error = None if task.cancelled() else task.exception()
    if error is None:
        return _failed(Cancelled(reason), RunState.CANCELLED)
    told = Cancelled(f"{reason} (and its compensation failed: {error})")
    return _ended(RunState.CANCELLED, Failure.of(told), trace=trace_text(error))


def _of_task(execution: RunExecution, task: asyncio.Task[Envelope], max_bytes: int) -> Ending:
    if task.cancelled():
        return _failed(Cancelled("The flow cancelled itself."), RunState.FAILED)
    error = task.exception()
    if error is not None:
        return _failed(error, RunState.FAILED)
    try:
        envelope = _stamped(execution, task.result())
        text = envelope.to_json(max_bytes=max_bytes)
        Envelope.from_json(text, max_bytes=None)
    except Exception as problem:  # noqa: BLE001 - whatever the flow returned, the run ends
        return _failed(problem, RunState.FAILED)
    if envelope.status is Status.ERROR and envelope.error is not None:
        return _ended(RunState.FAILED, envelope.error, envelope=text)
    return _succeeded(envelope, text)


def _stamped(execution: RunExecution, made: object) -> Envelope:
    """Fill in what the flow cannot know: the run and the usage of all its steps."""
    run = execution.run
    if not isinstance(made, Envelope):
        raise InvalidEnvelope(
            f"Flow {run.flow!r} returned {type(made).__name__}, not an Envelope. "
            "Use Envelope.from_records(rows, source=…)."
        )
    stamp = {"run_id": run.run_id, "trace_id": run.trace_id, "usage": execution.usage}
    return made.model_copy(update={"metadata": made.metadata.model_copy(update=stamp)})


def _succeeded(envelope: Envelope, text: str) -> Ending:
    data = {"status": str(envelope.status), "records": len(envelope.records)}
    return Ending(
        RunEnd(state=RunState.SUCCEEDED, envelope=text),
        NewEvent(type=EventType.RUN_SUCCEEDED, data=json.dumps(data)),
    )


def _failed(error: BaseException, state: RunState) -> Ending:
    return _ended(state, Failure.of(error), trace=_whole_trace(error))


def _whole_trace(error: BaseException) -> str:
    """Return the frames of the flow and, where an agent's code raised, of the agent."""
    failure = getattr(error, "failure", None)
    inner = failure.details.get("trace") if isinstance(failure, Failure) else None
    return (
        f"{inner}\nraised in the agent, and in the flow:\n\n{trace_text(error)}"
        if inner
        else (trace_text(error))
    )


def _ended(
    state: RunState, failure: Failure, *, envelope: str | None = None, trace: str | None = None
) -> Ending:
    if failure.code == LostTooOften.code:
        state = RunState.DEAD  # a step that kills its workers makes a dead letter of the run
    data = {"code": failure.code, "message": failure.message, "step": failure.step}
    return Ending(
        RunEnd(
            state=state,
            envelope=envelope,
            failure=failure.model_dump_json(),
            trace=trace,
            fingerprint=failure.fingerprint,
        ),
        NewEvent(type=_EVENTS[state], data=json.dumps(data)),
    )
