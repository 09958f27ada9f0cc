"""The rows that the journal's rules work on: mutable, in memory, one transaction long in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from envelope.ports.journal_rows import (
    SETTLED_STATES,
    TERMINAL_STATES,
    Hint,
    NewRun,
    Run,
    RunState,
    Step,
    StepState,
    StepWrite,
)


@dataclass(slots=True, kw_only=True)
class RunRow:
    """A run under its lock.

    What never changes and may be large (`payload`) is empty where SQL loaded the row for a rule.
    `positions` and `attempts` count the steps and attempts written so far, as `events` counts
    events: the next number comes from here, under the run's lock.
    """

    run_id: str
    flow: str
    version: int
    state: RunState
    tenant: str
    priority: int
    payload_sha256: str
    created_at: float
    available_at: float
    user: str | None = None
    thread: str | None = None
    key: str | None = None
    source: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    allow_delivery: bool = False
    trace_id: str | None = None
    payload: str = ""
    epoch: int = 0
    owner: str | None = None
    losses: int = 0
    sends: int = 0
    events: int = 0
    positions: int = 0
    attempts: int = 0
    steps_done: int = 0
    sent_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    cancel_reason: str | None = None
    envelope: str | None = None
    failure: str | None = None
    trace: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the run is in a terminal state."""
        return self.state in TERMINAL_STATES

    @property
    def hint(self) -> Hint:
        """What a message for this run is made of."""
        return Hint(run_id=self.run_id, flow=self.flow, priority=self.priority)


def new_run_row(new: NewRun, now: float) -> RunRow:
    """Return the row of a run that is accepted at `now`."""
    return RunRow(
        run_id=new.run_id,
        flow=new.flow,
        version=new.version,
        state=RunState.QUEUED,
        tenant=new.tenant,
        priority=new.priority,
        payload_sha256=new.payload_sha256,
        created_at=now,
        available_at=now + new.delay_seconds,
        user=new.user,
        thread=new.thread,
        key=new.key,
        source=new.source,
        tags=dict(new.tags),
        allow_delivery=new.allow_delivery,
        trace_id=new.trace_id,
        payload=new.payload,
    )


def run_of(row: RunRow) -> Run:
    """Return the public, frozen form of a complete row."""
    return Run(
        run_id=row.run_id,
        flow=row.flow,
        version=row.version,
        state=row.state,
        tenant=row.tenant,
        user=row.user,
        thread=row.thread,
        key=row.key,
        source=row.source,
        tags=dict(row.tags),
        priority=row.priority,
        allow_delivery=row.allow_delivery,
        trace_id=row.trace_id,
        payload=row.payload,
        payload_sha256=row.payload_sha256,
        epoch=row.epoch,
        owner=row.owner,
        losses=row.losses,
        sends=row.sends,
        events=row.events,
        steps_done=row.steps_done,
        created_at=row.created_at,
        available_at=row.available_at,
        sent_at=row.sent_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        cancel_reason=row.cancel_reason,
        envelope=row.envelope,
        failure=row.failure,
        trace=row.trace,
    )


@dataclass(slots=True, kw_only=True)
class StepRow:
    """A step under its run's lock. `input` and `result` are empty where SQL loaded it for a rule:
    the input is only ever written whole, and a step that has a result never changes again.
    """

    run_id: str
    step: str
    agent: str
    kind: str
    state: StepState
    position: int
    inline: bool = True
    input_sha256: str = ""
    input: str = ""
    attempt: int = 1
    losses: int = 0
    executor: str | None = None
    result: str | None = None
    failure: str | None = None
    sent_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def settled(self) -> bool:
        """Whether the step has its final outcome."""
        return self.state in SETTLED_STATES


def written_step(
    run_id: str, write: StepWrite, before: StepRow | None, position: int, now: float
) -> StepRow:
    """Return the row that the owner's write makes of a new or unsettled step."""
    settled = write.state in SETTLED_STATES
    started = now - write.seconds if settled else None
    return StepRow(
        run_id=run_id,
        step=write.step,
        agent=write.agent,
        kind=write.kind,
        state=write.state,
        position=before.position if before else position,
        inline=write.inline,
        input_sha256=write.input_sha256,
        input=write.input,
        attempt=write.attempt,
        losses=before.losses if before else 0,
        executor=write.executor,
        result=write.result,
        failure=write.failure,
        sent_at=now if write.state is StepState.QUEUED else before.sent_at if before else None,
        started_at=now if write.state is StepState.RUNNING else started,
        finished_at=now if settled else None,
    )


def step_of(row: StepRow) -> Step:
    """Return the public, frozen form of a complete row."""
    return Step(
        run_id=row.run_id,
        step=row.step,
        agent=row.agent,
        kind=row.kind,
        state=row.state,
        inline=row.inline,
        input_sha256=row.input_sha256,
        input=row.input,
        attempt=row.attempt,
        losses=row.losses,
        executor=row.executor,
        result=row.result,
        failure=row.failure,
        sent_at=row.sent_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        position=row.position,
    )
