"""What the journal takes and gives: runs, steps, attempts, events, workers, as frozen data.

Times are seconds since 1970 by the journal's own clock, the only clock that decides anything.
JSON travels as text: the journal never looks inside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class RunState(StrEnum):
    """The states of a run; the last four are terminal."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DEAD = "dead"


TERMINAL_STATES = frozenset(
    {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED, RunState.DEAD}
)


class StepState(StrEnum):
    """The states of a step; the last two are settled."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


SETTLED_STATES = frozenset({StepState.SUCCEEDED, StepState.FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a trigger asks for, validated, before it is accepted."""

    run_id: str
    flow: str
    version: int
    payload: str
    payload_sha256: str
    source: str
    tenant: str = "default"
    user: str | None = None
    thread: str | None = None
    key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    delay_seconds: float = 0.0
    allow_delivery: bool = False
    trace_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The run that stands for a trigger, and whether this very trigger made it."""

    run_id: str
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as the journal has it.

    Attributes:
        epoch: The fencing number: rises with every claim and every loss.
        owner: The worker process that holds the run; None where none does.
        losses: Workers lost in a row without a step committed in between.
        sends: How often a message was sent for it since it was last queued.
        events: Number of the last event.
        steps_done: Steps with a committed result.
    """

    run_id: str
    flow: str
    version: int
    state: RunState
    tenant: str
    user: str | None
    thread: str | None
    key: str | None
    source: str
    tags: Mapping[str, str]
    priority: int
    allow_delivery: bool
    trace_id: str | None
    payload: str
    payload_sha256: str
    epoch: int
    owner: str | None
    losses: int
    sends: int
    events: int
    steps_done: int
    created_at: float
    available_at: float
    sent_at: float | None
    started_at: float | None
    finished_at: float | None
    cancel_reason: str | None
    envelope: str | None
    failure: str | None
    trace: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step as the journal has it. `kind` is `agent` or `value` (a recorded time)."""

    run_id: str
    step: str
    agent: str
    kind: str
    state: StepState
    inline: bool
    input_sha256: str
    input: str
    attempt: int
    losses: int
    executor: str | None
    result: str | None
    failure: str | None
    sent_at: float | None
    started_at: float | None
    finished_at: float | None
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One execution of a step and how it ended: `succeeded`, `failed`, `retried` or `lost`."""

    step: str
    attempt: int
    executor: str
    outcome: str
    seconds: float
    failure: str | None = None
    finished_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An event to append. `origin` names the place in the flow that emitted it, so that a replay
    does not append it twice; None where every emission counts.
    """

    type: str
    data: str = "{}"
    step: str | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event of a run; numbers go 1..n without gap."""

    run_id: str
    number: int
    type: str
    at: float
    step: str | None
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWrite:
    """A step's new state, written by the run's owner (insert or update by `step`).

    `seconds` is how long the execution took by a monotonic clock; the journal derives
    `started_at` from it and its own clock where the step is settled.
    """

    step: str
    agent: str
    state: StepState
    input_sha256: str
    input: str
    kind: str = "agent"
    inline: bool = True
    attempt: int = 1
    executor: str | None = None
    result: str | None = None
    failure: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """A run's terminal state, or `queued` when its owner gives it back without blame."""

    state: RunState
    envelope: str | None = None
    failure: str | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """All that a run's owner writes at once; refused as a whole if `epoch` is stale.

    Events get their numbers inside the transaction. A settled step resets the run's losses.
    """

    run_id: str
    epoch: int
    steps: Sequence[StepWrite] = ()
    attempts: Sequence[Attempt] = ()
    events: Sequence[NewEvent] = ()
    end: RunEnd | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCommit:
    """What the executor of a queued step writes.

    Refused if the step is no longer `running` under this `attempt` and `executor`, or if its run
    has ended. State `queued` hands the step back, for a further attempt or for a drain. State
    `running` leaves the step as it is and only appends the events and the record.
    """

    run_id: str
    step: str
    attempt: int
    executor: str
    state: StepState
    result: str | None = None
    failure: str | None = None
    seconds: float = 0.0
    events: Sequence[NewEvent] = ()
    record: Attempt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run that this process now owns, with all that its replay needs."""

    run: Run
    steps: Sequence[Step]
    origins: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepClaim:
    """A queued step that this process now executes."""

    run: Run
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker process as it announces itself: hostname, pid, queues, flow versions, …"""

    worker_id: str
    hostname: str
    pid: int
    details: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRow:
    """A worker process as the journal knows it. Alive while `expires_in` is positive."""

    worker_id: str
    hostname: str
    pid: int
    details: str
    started_at: float
    expires_in: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """What a message is made of: the run, or one of its queued steps."""

    run_id: str
    flow: str
    priority: int
    step: str | None = None
    agent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescue:
    """A run whose worker was lost: queued again, or dead."""

    hint: Hint
    state: RunState
    losses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs to list, newest first. None and empty mean any."""

    states: frozenset[RunState] = frozenset()
    flow: str | None = None
    tenant: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    before: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedMessage:
    """A message that could not be understood. `excerpt` is escaped and short."""

    queue: str
    reason: str
    sha256: str
    size: int
    excerpt: str
