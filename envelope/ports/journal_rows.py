"""What the journal gives: runs, steps, attempts, events, workers, as frozen data.

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
class Accepted:
    """The run that stands for a trigger, and whether this very trigger made it.

    Attributes:
        run_id: The run; under `join` the active one that has the singleton key.
        created: Whether this trigger made it.
        behind: The active run that has the singleton key, where this one must wait for its end.
    """

    run_id: str
    created: bool
    behind: str | None = None


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
        spent_tokens: Tokens used by the run's settled steps, its children's not included.
        spent_usd: The same in US dollars.
        waits: What a waiting run waits for; None in every other state.
        fingerprint: That of the failure, which groups runs of one cause.
        replay_of: The run that this one repeats.
        replayed_as: The newest run that repeats this one.
        origin_id: The first run of a chain of repetitions, whose name keys of effects carry; the
            run itself where it repeats none.
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
    origin_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """What a waiting run waits for; the first of it that comes wakes the run.

    Attributes:
        until: Wake at this time of the journal's clock at the latest; None for no such time.
        signals: By name, how many signals of that name the run has consumed: one more wakes it.
        children: Wake when one of these runs has ended.
        singleton: Wake when no other run has this key. Set by the journal itself at acceptance.
    """

    until: float | None = None
    signals: Mapping[str, int] = field(default_factory=dict)
    children: Sequence[str] = ()
    singleton: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A message to a run. Numbers go 1..n within the run, in order of arrival."""

    run_id: str
    number: int
    name: str
    data: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Signalled:
    """What a signal did: the run as it then is, and whether it was waiting and is queued now."""

    run: Run
    number: int
    woken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureGroup:
    """Runs that ended badly for one cause and were not replayed since.

    Attributes:
        fingerprint: Names the cause; `""` for runs whose failure has none.
        example: The newest run of the group.
        code, message: Of that run's failure.
        count: How many runs.
        first_at, last_at: When the first and the last of them ended.
    """

    fingerprint: str
    flow: str
    state: RunState
    code: str
    message: str
    example: str
    count: int
    first_at: float
    last_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLimit:
    """What was set at run time for an agent; None leaves it to its registration."""

    agent: str
    concurrency: int | None = None
    rate: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What a heartbeat learns.

    Attributes:
        runs: Runs of this process (id, reason) that shall be cancelled.
        steps: Queued steps (run, step) that this process executes in vain: their run has ended or
            shall be cancelled.
        lapsed: Whether the lease had lapsed before this beat: others may have taken what was ours.
    """

    runs: Sequence[tuple[str, str]] = ()
    steps: Sequence[tuple[str, str]] = ()
    lapsed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A step as the journal has it.

    `kind` is `agent`, `undo` (a compensation, which a cancelled run may still begin), or the kind
    of a recorded value: `now`, `until`, `signal`, `child`.
    """

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
class Event:
    """An event of a run; numbers go 1..n without gap."""

    run_id: str
    number: int
    type: str
    at: float
    step: str | None
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A run that this process now owns, with all that its replay needs.

    Attributes:
        now: The time of the claim by the journal's clock.
    """

    run: Run
    steps: Sequence[Step]
    origins: frozenset[str]
    signals: Sequence[Signal] = ()
    now: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepClaim:
    """A queued step that this process now executes."""

    run: Run
    step: Step


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
    """What a message is made of: the run, or one of its queued steps.

    `trace_id` is told along for the logs of whoever carries and takes the message.
    """

    run_id: str
    flow: str
    priority: int
    step: str | None = None
    agent: str | None = None
    trace_id: str | None = None


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
    parent_id: str | None = None
    singleton: str | None = None
    fingerprint: str | None = None
    not_replayed: bool = False
