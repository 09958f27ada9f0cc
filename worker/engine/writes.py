"""What the engine writes at each moment of a step, as data."""

from __future__ import annotations

import json
from dataclasses import dataclass

from envelope.events import EventType
from envelope.failure import Failure
from envelope.ports.journal_rows import Attempt, StepState
from envelope.ports.journal_writes import NewEvent, StepWrite
from envelope.usage import Usage
from orchestrators.steps import StepCall

_EVENT_OF = {
    StepState.SUCCEEDED: EventType.STEP_SUCCEEDED,
    StepState.FAILED: EventType.STEP_FAILED,
}
_NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Writes:
    """The parts of a `Commit` that a moment adds."""

    steps: tuple[StepWrite, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    events: tuple[NewEvent, ...] = ()

    def __add__(self, other: Writes) -> Writes:
        return Writes(
            self.steps + other.steps, self.attempts + other.attempts, self.events + other.events
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: with an envelope's JSON, a failure, or both."""

    attempt: int
    seconds: float
    result: str | None
    failure: Failure | None
    usage: Usage = _NO_USAGE

    @property
    def state(self) -> StepState:
        """The state that the step is settled in."""
        return StepState.FAILED if self.failure else StepState.SUCCEEDED

    @property
    def tokens(self) -> int:
        """Tokens that the step's model calls used."""
        return self.usage.input_tokens + self.usage.output_tokens

    @property
    def reason(self) -> str | None:
        """The failure as JSON."""
        return self.failure.model_dump_json() if self.failure else None


def step_event(kind: str, step: str, agent: str, attempt: int, **more: object) -> NewEvent:
    """Return an event of a step."""
    return NewEvent(
        type=kind, step=step, data=json.dumps({"agent": agent, "attempt": attempt, **more})
    )


def queued(call: StepCall, kind: str) -> Writes:
    """Return what says that a step waits on its agent's queue."""
    write = _write(call, kind, StepState.QUEUED, attempt=0, executor=None, inline=False)
    return Writes((write,), (), (step_event(EventType.STEP_QUEUED, call.slot, call.agent.name, 0),))


def started_event(call: StepCall, attempt: int) -> Writes:
    """Return the mere event that an inline step has started."""
    event = step_event(EventType.STEP_STARTED, call.slot, call.agent.name, attempt)
    return Writes(events=(event,))


def started(call: StepCall, kind: str, attempt: int, executor: str) -> Writes:
    """Return what says that an inline step is running."""
    write = _write(call, kind, StepState.RUNNING, attempt=attempt, executor=executor, inline=True)
    return Writes(steps=(write,)) + started_event(call, attempt)


def retried(step: str, agent: str, executor: str, failure: Failure, wait: float) -> Writes:
    """Return what says that an attempt failed and another follows."""
    attempt = failure.attempt or 1
    event = step_event(
        EventType.STEP_RETRIED, step, agent, attempt, code=failure.code, wait_seconds=round(wait, 3)
    )
    record = Attempt(
        step=step,
        attempt=attempt,
        executor=executor,
        outcome="retried",
        seconds=0.0,
        failure=failure.model_dump_json(),
    )
    return Writes(attempts=(record,), events=(event,))


def settled(call: StepCall, kind: str, executor: str, outcome: Outcome) -> Writes:
    """Return what settles an inline step."""
    write = _write(
        call,
        kind,
        outcome.state,
        attempt=outcome.attempt,
        executor=executor,
        inline=True,
        result=outcome.result,
        failure=outcome.reason,
        seconds=outcome.seconds,
        tokens=outcome.tokens,
        usd=outcome.usage.cost_usd,
    )
    return Writes(
        (write,),
        (attempt_record(call.slot, executor, outcome),),
        (settled_event(call.slot, call.agent.name, outcome),),
    )


def attempt_record(step: str, executor: str, outcome: Outcome) -> Attempt:
    """Return the record of the attempt that settled a step."""
    return Attempt(
        step=step,
        attempt=outcome.attempt,
        executor=executor,
        outcome=str(outcome.state),
        seconds=outcome.seconds,
        failure=outcome.reason,
    )


def settled_event(step: str, agent: str, outcome: Outcome) -> NewEvent:
    """Return the event that a step is settled."""
    more: dict[str, object] = {"seconds": round(outcome.seconds, 6)}
    if outcome.failure:
        more["code"] = outcome.failure.code
    return step_event(_EVENT_OF[outcome.state], step, agent, outcome.attempt, **more)


def recorded_value(
    slot: str, kind: str, value: object, state: StepState = StepState.SUCCEEDED
) -> Writes:
    """Return what records a value that the run must get again when it is resumed.

    A run that repeats this one takes over what is `succeeded`, and meets the rest anew.
    """
    write = StepWrite(
        step=slot,
        agent=kind,
        kind=kind,
        state=state,
        input_sha256="",
        input="null",
        result=json.dumps(value),
    )
    return Writes(steps=(write,))


def _write(
    call: StepCall,
    kind: str,
    state: StepState,
    *,
    attempt: int,
    executor: str | None,
    inline: bool,
    result: str | None = None,
    failure: str | None = None,
    seconds: float = 0.0,
    tokens: int = 0,
    usd: float = 0.0,
) -> StepWrite:
    return StepWrite(
        step=call.slot,
        kind=kind,
        agent=call.agent.name,
        state=state,
        input_sha256=call.request_sha256,
        input=call.request,
        attempt=attempt,
        executor=executor,
        inline=inline,
        result=result,
        failure=failure,
        seconds=seconds,
        tokens=tokens,
        usd=usd,
    )
