"""The working set that the journal's rules read and change.

In SQL a book is one transaction long: it holds the locked rows that the batch needs, and notes
what changed so that it can be written in a few statements. In memory one book holds everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from json import dumps
from typing import Any, NamedTuple

from envelope.events import EventType
from envelope.ports.journal_rows import Attempt, NewEvent
from worker.journal.rows import RunRow, StepRow

IdempotencyKey = tuple[str, str, str]
"""Tenant, flow and idempotency key."""


class KeyHolder(NamedTuple):
    """The run that holds an idempotency key."""

    run_id: str
    payload_sha256: str


class EventEntry(NamedTuple):
    """An appended event, in the order of the table's columns."""

    run_id: str
    number: int
    type: str
    at: float
    step: str | None
    origin: str | None
    data: str


class AttemptEntry(NamedTuple):
    """An appended attempt, in the order of the table's columns."""

    run_id: str
    number: int
    step: str
    attempt: int
    executor: str
    outcome: str
    seconds: float
    failure: str | None
    finished_at: float


@dataclass(slots=True)
class Needs:
    """What a batch of operations has to load before its rules can decide."""

    runs: set[str] = field(default_factory=set)
    steps: set[tuple[str, str]] = field(default_factory=set)
    open_steps: set[str] = field(default_factory=set)
    origins: set[tuple[str, str]] = field(default_factory=set)
    keys: set[IdempotencyKey] = field(default_factory=set)
    leases: bool = False


@dataclass(slots=True)
class Changes:
    """What the rules changed, for the store to write."""

    accepted: dict[str, RunRow] = field(default_factory=dict)
    runs: dict[str, RunRow] = field(default_factory=dict)
    new_steps: dict[tuple[str, str], StepRow] = field(default_factory=dict)
    rewritten_steps: dict[tuple[str, str], StepRow] = field(default_factory=dict)
    moved_steps: dict[tuple[str, str], StepRow] = field(default_factory=dict)
    events: list[EventEntry] = field(default_factory=list)
    attempts: list[AttemptEntry] = field(default_factory=list)


@dataclass(slots=True)
class Book:
    """Rows by name, the leases that have not lapsed, and the time of the journal's clock."""

    now: float = 0.0
    runs: dict[str, RunRow] = field(default_factory=dict)
    steps: dict[tuple[str, str], StepRow] = field(default_factory=dict)
    origins: set[tuple[str, str]] = field(default_factory=set)
    keys: dict[IdempotencyKey, KeyHolder] = field(default_factory=dict)
    living: frozenset[str] = frozenset()
    changes: Changes = field(default_factory=Changes)

    def add(self, run: RunRow) -> None:
        """Enter a run that is accepted now."""
        self.runs[run.run_id] = run
        self.changes.accepted[run.run_id] = run
        if run.key is not None:
            holder = KeyHolder(run.run_id, run.payload_sha256)
            self.keys[run.tenant, run.flow, run.key] = holder

    def touch(self, run: RunRow) -> None:
        """Note that the run's own row changed."""
        self.changes.runs[run.run_id] = run

    def write_step(self, step: StepRow) -> None:
        """Put a step in place of whatever stood there."""
        name = (step.run_id, step.step)
        known = name in self.steps and name not in self.changes.new_steps
        self.steps[name] = step
        if known:
            self.changes.moved_steps.pop(name, None)
            self.changes.rewritten_steps[name] = step
        else:
            self.changes.new_steps[name] = step

    def move_step(self, step: StepRow) -> None:
        """Note that a step changed its state, its executor or its outcome, not its input."""
        name = (step.run_id, step.step)
        if name not in self.changes.new_steps and name not in self.changes.rewritten_steps:
            self.changes.moved_steps[name] = step

    def append(self, run: RunRow, events: Iterable[NewEvent]) -> None:
        """Append events under the run's next numbers; those whose origin is known are skipped."""
        run_id, now, entries = run.run_id, self.now, self.changes.events
        for event in events:
            if event.origin is not None:
                place = (run_id, event.origin)
                if place in self.origins:
                    continue
                self.origins.add(place)
            run.events += 1
            entries.append(
                EventEntry(
                    run_id, run.events, event.type, now, event.step, event.origin, event.data
                )
            )
        self.touch(run)

    def tell(
        self, run: RunRow, event_type: EventType, /, *, step: str | None = None, **data: Any
    ) -> None:
        """Append an event that the journal itself makes."""
        self.append(run, [NewEvent(type=event_type.value, data=dumps(data), step=step)])

    def record(self, run: RunRow, attempts: Iterable[Attempt]) -> None:
        """Append attempts of the run's steps."""
        for attempt in attempts:
            run.attempts += 1
            self.changes.attempts.append(
                AttemptEntry(
                    run.run_id,
                    run.attempts,
                    attempt.step,
                    attempt.attempt,
                    attempt.executor,
                    attempt.outcome,
                    attempt.seconds,
                    attempt.failure,
                    self.now if attempt.finished_at is None else attempt.finished_at,
                )
            )
        self.touch(run)

    def open_steps(self, run_id: str) -> list[str]:
        """Return the names of the run's steps that are not settled, in order."""
        rows = [row for row in self.steps.values() if row.run_id == run_id and not row.settled]
        return [row.step for row in sorted(rows, key=lambda row: row.position)]

    def lapsed(self, worker_id: str | None) -> bool:
        """Whether no living worker of that name is known."""
        return worker_id not in self.living

    def drain(self) -> Changes:
        """Hand over what changed and begin anew."""
        changes, self.changes = self.changes, Changes()
        return changes
