"""The journal: the durable memory of runs, steps, attempts, events and workers.

Times are seconds since 1970 by the journal's own clock, the only clock that decides anything.
JSON travels as text: the journal never looks inside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol


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


class Journal(Protocol):
    """The durable memory. Every method raises `JournalUnavailable` when the database is away."""

    async def accept(self, new: NewRun) -> Accepted:
        """Commit a run, or return the one that its tenant, flow and key already name.

        Raises:
            IdempotencyConflict: The key belongs to a run with another payload.
        """

    async def claim(
        self,
        run_id: str,
        worker_id: str,
        *,
        from_owner: str | None = None,
        versions: Mapping[str, Sequence[int]] | None = None,
    ) -> Claim | None:
        """Take a queued run (or a running one whose owner's lease lapsed): epoch + 1, owner.

        Args:
            run_id: The run.
            worker_id: The process that takes it.
            from_owner: The living owner that hands it over; no loss is counted then.
            versions: The versions of each flow that this process has; None for all there are.

        Returns None when the run is unknown, terminal, not yet available, owned by the living, or
        of a flow or version that this process has not.
        """

    async def commit(self, commit: Commit) -> int:
        """Write durably and return the number of the run's last event.

        Raises:
            Fenced: The epoch is stale; nothing was written.
        """

    def submit(self, commit: Commit) -> None:
        """Write with the next batch, in order with later commits, without waiting for it.

        Should it be lost in a crash, then so is every later commit of this process.
        """

    async def claim_step(self, run_id: str, step: str, executor: str) -> StepClaim | None:
        """Take a queued step: state `running`, attempt + 1. None when it is not to be taken."""

    async def commit_step(self, commit: StepCommit) -> str | None:
        """Write a queued step's outcome; return the run's owner, who waits for it.

        Raises:
            Fenced: The step was taken from this executor, or the run has ended.
        """

    async def settled_steps(self, steps: Sequence[tuple[str, str]]) -> Sequence[Step]:
        """Of the steps named (run, step), return those that are settled."""

    async def rescue_steps(
        self, steps: Sequence[tuple[str, str]], max_losses: int
    ) -> Sequence[Step]:
        """Of the steps named, put those whose executor's lease lapsed back to `queued`.

        Losses + 1 each; at `10 * max_losses` the step fails with LOST_TOO_OFTEN. Returns every
        step that changed.
        """

    async def unsent(
        self, topics_empty: frozenset[str], grace: float, limit: int
    ) -> Sequence[Hint]:
        """Return runs that are queued and due but whose message is missing, and mark them sent.

        Missing means: never sent, or sent longer ago than `grace * 2 ** min(sends, 6)` while the
        topic `runs.<flow>` is in `topics_empty`, or ten times as long ago while it is not.
        """

    async def mark_sent(self, run_ids: Sequence[str]) -> None:
        """Note that messages went out for these runs."""

    async def beat(self, worker: WorkerInfo, lease_seconds: float) -> Sequence[tuple[str, str]]:
        """Renew this process's lease; return its runs (id, reason) that shall be cancelled."""

    async def retire(self, worker_id: str) -> None:
        """Forget a worker that ends in order. Its runs count as lost from now on."""

    async def rescue(self, max_losses: int) -> Sequence[Rescue]:
        """Queue every running run whose owner's lease lapsed: epoch + 1, losses + 1.

        A loss found this way may be another's fault, so a run is dead only at `10 * max_losses`.
        """

    async def blame(self, run_id: str, worker_id: str, max_losses: int) -> Rescue | None:
        """Count a loss that is the run's own doing: it died alone in the isolated `worker_id`.

        At `max_losses` the run is dead. None when that worker does not own the run any more.
        """

    async def cancel(self, run_id: str, reason: str) -> Run | None:
        """End a run that is queued or waiting, or ask its owner to. None when unknown."""

    async def run(self, run_id: str) -> Run | None:
        """Return a run."""

    async def runs(self, which: RunFilter) -> Sequence[Run]:
        """Return runs, newest first."""

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many runs there are, by flow and state."""

    async def steps(self, run_id: str) -> Sequence[Step]:
        """Return a run's steps in the order in which they were first written."""

    async def attempts(self, run_id: str) -> Sequence[Attempt]:
        """Return all attempts of a run's steps, in order."""

    async def events(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """Return a run's events whose number is above `after`, in order."""

    async def workers(self) -> Sequence[WorkerRow]:
        """Return the workers, living and lapsed."""

    async def quarantine(self, message: QuarantinedMessage) -> None:
        """Keep a malformed message's description."""

    async def quarantined(self, limit: int = 50) -> Sequence[Mapping[str, Any]]:
        """Return the newest quarantined messages."""

    async def open(self) -> None:
        """Connect and bring the schema up to date."""

    async def close(self) -> None:
        """Write what was submitted, then let go of everything."""
