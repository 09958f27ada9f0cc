"""The rows of runs that the journal's rules work on: mutable, one transaction long in SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from envelope.ports.journal_rows import (
    TERMINAL_STATES,
    Hint,
    Run,
    RunState,
    Waits,
)
from envelope.ports.journal_writes import NewRun


@dataclass(slots=True, kw_only=True)
class RunRow:
    """A run under its lock.

    What never changes and may be large (`payload`) is empty where SQL loaded the row for a rule.
    `positions`, `attempts` and `signals` count the steps, attempts and signals written so far, as
    `events` counts events: the next number comes from here, under the run's lock.

    Attributes:
        children: Runs accepted with this one as their parent.
        awaited: Whether, once this run has ended, others may have to be told: those that wait for
            it, or for its singleton key.
        unasked: Whether its children still have to be asked to stop.
        cancel_epoch: The epoch at which the cancellation came: its owner may not know yet.
        origin_id: The first run of the chain of repetitions; None where it repeats none.
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
    singleton: str | None = None
    parent_id: str | None = None
    root_id: str | None = None
    budget_tokens: int | None = None
    budget_usd: float | None = None
    spent_tokens: int = 0
    spent_usd: float = 0.0
    waits: Waits | None = None
    fingerprint: str | None = None
    replay_of: str | None = None
    replayed_as: str | None = None
    signals: int = 0
    children: int = 0
    awaited: bool = False
    unasked: bool = False
    cancel_epoch: int | None = None
    origin_id: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the run is in a terminal state."""
        return self.state in TERMINAL_STATES

    @property
    def hint(self) -> Hint:
        """What a message for this run is made of."""
        return Hint(
            run_id=self.run_id, flow=self.flow, priority=self.priority, trace_id=self.trace_id
        )


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
        singleton=new.singleton,
        parent_id=new.parent_id,
        root_id=new.root_id,
        budget_tokens=new.budget_tokens,
        budget_usd=new.budget_usd,
        replay_of=new.replay.run_id if new.replay else None,
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
        singleton=row.singleton,
        parent_id=row.parent_id,
        root_id=row.root_id,
        budget_tokens=row.budget_tokens,
        budget_usd=row.budget_usd,
        spent_tokens=row.spent_tokens,
        spent_usd=row.spent_usd,
        waits=row.waits,
        fingerprint=row.fingerprint,
        replay_of=row.replay_of,
        replayed_as=row.replayed_as,
        origin_id=row.origin_id or row.run_id,
    )
