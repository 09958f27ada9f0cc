"""The working set that the journal's rules read and change.

In SQL a book is one transaction long: it holds the locked rows that the batch needs, and notes
what changed so that it can be written in a few statements. In memory one book holds everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from json import dumps
from typing import Any, NamedTuple

from envelope.events import EventType
from envelope.ports.journal_rows import Attempt
from envelope.ports.journal_writes import NewEvent
from worker.journal.changes import (
    AttemptEntry,
    Changes,
    EventEntry,
    SignalEntry,
    StepsCopy,
    WaitEntry,
)
from worker.journal.ledger_book import LedgerBook, LedgerNeeds
from worker.journal.rows import RunRow
from worker.journal.step_rows import StepRow

IdempotencyKey = tuple[str, str, str]
"""Tenant, flow and idempotency key."""


class KeyHolder(NamedTuple):
    """The run that holds an idempotency key."""

    run_id: str
    payload_sha256: str


@dataclass(slots=True, kw_only=True)
class Singleton:
    """A singleton key under its lock.

    Attributes:
        holder: The run that took the key last; None where none ever did.
        free: Whether the holder has ended, as read; the holder's own row knows better.
        first: The first run in line for the key, as read.
    """

    key: str
    holder: str | None = None
    free: bool = True
    first: str | None = None


@dataclass(slots=True)
class Needs:
    """What a batch of operations has to load before its rules can decide.

    Attributes:
        replays: Runs all of whose steps are needed, to be taken over.
        signals: Runs whose signals are to be counted, by name.
        singletons: Singleton keys, to be locked after the runs.
        waiters: Runs of which is asked who waits for their end.
        waits: Awaited runs, each with one of which is asked whether it is known to wait for it.
        leases: Whether the living workers are needed.
    """

    runs: set[str] = field(default_factory=set)
    steps: set[tuple[str, str]] = field(default_factory=set)
    open_steps: set[str] = field(default_factory=set)
    origins: set[tuple[str, str]] = field(default_factory=set)
    keys: set[IdempotencyKey] = field(default_factory=set)
    replays: set[str] = field(default_factory=set)
    signals: set[str] = field(default_factory=set)
    singletons: set[str] = field(default_factory=set)
    waiters: set[str] = field(default_factory=set)
    waits: set[tuple[str, str]] = field(default_factory=set)
    leases: bool = False
    ledger: LedgerNeeds = field(default_factory=LedgerNeeds)


@dataclass(slots=True)
class Book:
    """Rows by name, the leases that have not lapsed, and the time of the journal's clock."""

    now: float = 0.0
    runs: dict[str, RunRow] = field(default_factory=dict)
    steps: dict[tuple[str, str], StepRow] = field(default_factory=dict)
    origins: set[tuple[str, str]] = field(default_factory=set)
    keys: dict[IdempotencyKey, KeyHolder] = field(default_factory=dict)
    signal_counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    singletons: dict[str, Singleton] = field(default_factory=dict)
    waiters: dict[str, set[str]] = field(default_factory=dict)
    living: frozenset[str] = frozenset()
    ledger: LedgerBook = field(default_factory=LedgerBook)
    changes: Changes = field(default_factory=Changes)

    def add(self, run: RunRow) -> None:
        """Enter a run that is accepted now."""
        self.runs[run.run_id] = run
        self.changes.accepted[run.run_id] = run
        if run.key is not None:
            holder = KeyHolder(run.run_id, run.payload_sha256)
            self.keys[run.tenant, run.flow, run.key] = holder

    def touch(self, run: RunRow) -> None:
        """Note that the run's state, counters or outcome changed."""
        self.changes.runs[run.run_id] = run

    def tie(self, run: RunRow) -> None:
        """Note that the run's ties to others changed. The run may have ended."""
        self.changes.ties[run.run_id] = run

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

    def copy_steps(self, source_id: str, run: RunRow, copied: Sequence[StepRow]) -> None:
        """Enter settled steps of one run as steps of another, which is new."""
        for step in copied:
            self.steps[run.run_id, step.step] = replace(step, run_id=run.run_id)
        names = [step.step for step in copied]
        self.changes.copies.append(StepsCopy(source_id, run.run_id, names))

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

    def keep_signal(self, run: RunRow, name: str, data: str) -> None:
        """Append a signal under the run's next number."""
        run.signals += 1
        self.signal_counts[run.run_id, name] += 1
        self.changes.signals.append(SignalEntry(run.run_id, run.signals, name, data, self.now))
        self.tie(run)

    def take_key(self, singleton: Singleton, run: RunRow) -> None:
        """Make a run the holder of a singleton key; others may come to wait for its end."""
        singleton.holder = run.run_id
        singleton.first = None
        run.awaited = True
        self.changes.taken_keys[singleton.key] = run.run_id
        self.tie(run)

    def wait_for(self, awaited: RunRow, run: RunRow) -> None:
        """Note that a run waits for the end of another one."""
        waiters = self.waiters.setdefault(awaited.run_id, set())
        if run.run_id in waiters:
            return
        waiters.add(run.run_id)
        self.changes.new_waits.append(WaitEntry(awaited.run_id, run.run_id))
        if not awaited.awaited:
            awaited.awaited = True
            self.tie(awaited)

    def forget_wait(self, awaited_id: str, run_id: str) -> None:
        """Note that a run need not be told of the end of another one any more."""
        self.waiters[awaited_id].remove(run_id)
        self.changes.told_waits.append(WaitEntry(awaited_id, run_id))

    def steps_of(self, run_id: str) -> list[StepRow]:
        """Return the run's steps in order; in SQL those that were asked for."""
        rows = [row for row in self.steps.values() if row.run_id == run_id]
        return sorted(rows, key=lambda row: row.position)

    def open_steps(self, run_id: str) -> list[StepRow]:
        """Return the run's steps that are not settled, in order."""
        return [row for row in self.steps_of(run_id) if not row.settled]

    def lapsed(self, worker_id: str | None) -> bool:
        """Whether no living worker of that name is known."""
        return worker_id not in self.living

    def drain(self) -> Changes:
        """Hand over what changed and begin anew."""
        changes, self.changes = self.changes, Changes()
        return changes
