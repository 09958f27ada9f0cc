"""What the journal takes: runs to accept, commits of owners and executors, workers, messages.

Frozen data; JSON travels as text, as in `journal_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from envelope.ports.journal_rows import Attempt, RunState, StepState, Waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The ended run that a new one repeats, and what is taken over so that nobody pays twice.

    Attributes:
        run_id: The ended run; it is marked as replayed by the new one.
        keep: Copy its settled, succeeded steps, recorded values included, with their results,
            positions and times, without their attempts.
        before: Copy only those that stand before this step.
    """

    run_id: str
    keep: bool = True
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """What a trigger asks for, validated, before it is accepted.

    Attributes:
        singleton: Key of which at most one run is active at a time; None for no such limit.
        on_conflict: What happens while another run has that key: `queue` (wait for its end),
            `reject` (SingletonConflict), `join` (stand for the active run), `replace` (wait for its
            end, which the caller brings about).
        parent_id: The run that started this one as its child.
        root_id: The oldest ancestor, whose budget this run shares; None where it has no parent.
        budget_tokens: Tokens that the run and its children may use; None for no limit.
        budget_usd: The same in US dollars.
        replay: The run that this one repeats.
        sent: Whether whoever accepts the run sends its message right after the commit. It is noted
            in the same commit, so that no second one is needed; `Journal.forget_sent` takes it
            back.
    """

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
    singleton: str | None = None
    on_conflict: str = "queue"
    parent_id: str | None = None
    root_id: str | None = None
    budget_tokens: int | None = None
    budget_usd: float | None = None
    replay: Replay | None = None
    sent: bool = False


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
    tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEnd:
    """A run's terminal state; `queued` when its owner gives it back without blame; `waiting` with
    `waits` when it suspends the run, which is queued at once if what it waits for is there already.
    """

    state: RunState
    envelope: str | None = None
    failure: str | None = None
    trace: str | None = None
    fingerprint: str | None = None
    waits: Waits | None = None


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
    tokens: int = 0
    usd: float = 0.0
    events: Sequence[NewEvent] = ()
    record: Attempt | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A worker process as it announces itself: hostname, pid, queues, flow versions, …"""

    worker_id: str
    hostname: str
    pid: int
    details: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedMessage:
    """A message that could not be understood. `excerpt` is escaped and short."""

    queue: str
    reason: str
    sha256: str
    size: int
    excerpt: str
