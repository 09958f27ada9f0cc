"""Everything that a journal in memory remembers, and the rules applied to it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from typing import Any

from envelope.ports.journal_rows import (
    AgentLimit,
    Attempt,
    Claim,
    Event,
    Run,
    Signal,
    Signalled,
    Step,
    StepClaim,
)
from envelope.ports.journal_writes import WorkerInfo
from envelope.ports.ledger import ApprovalRow
from worker.journal.book import Book, Needs, Singleton
from worker.journal.changes import Changes
from worker.journal.consents import judged
from worker.journal.memory_queries import first_in_line
from worker.journal.operations import (
    ApprovalAnswer,
    ClaimAnswer,
    Operation,
    RunAnswer,
    SignalAnswer,
    StepClaimAnswer,
    StepsAnswer,
)
from worker.journal.rows import run_of
from worker.journal.step_rows import step_of


class MemoryStore:
    """One book that holds everything, and what was appended, by run.

    Hold `lock` while looking at more than one thing.

    Args:
        clock: Returns seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.lock = RLock()
        self.book = Book()
        self.events: dict[str, list[Event]] = defaultdict(list)
        self.attempts: dict[str, list[Attempt]] = defaultdict(list)
        self.signals: dict[str, list[Signal]] = defaultdict(list)
        self.workers: dict[str, tuple[WorkerInfo, float, float]] = {}
        self.limits: dict[str, AgentLimit] = {}
        self.quarantine: list[Mapping[str, Any]] = []
        self._steps: dict[str, list[str]] = defaultdict(list)
        self._origins: dict[str, set[str]] = defaultdict(set)

    def do(self, operation: Operation) -> Any:
        """Apply an operation and return what its caller gets."""
        with self.lock:
            self._prepare(operation)
            answer = operation.apply(self.book)
            self._absorb(self.book.drain())
            self.book.ledger.drain()
            return self._read(answer)

    def run(self, run_id: str) -> Run | None:
        """Return a run."""
        row = self.book.runs.get(run_id)
        return None if row is None else run_of(row)

    def steps(self, run_id: str) -> Sequence[Step]:
        """Return a run's steps in the order in which they were first written."""
        return [step_of(self.book.steps[run_id, step]) for step in self._steps.get(run_id, ())]

    def approval(self, approval_id: str) -> ApprovalRow | None:
        """Return an approval as it counts now."""
        row = self.book.ledger.approvals.get(approval_id)
        if row is None:
            return None
        run = self.book.runs.get(row.run_id)
        return judged(row, self.clock(), run_ended=run is None or run.ended)

    def _prepare(self, operation: Operation) -> None:
        needs = Needs()
        operation.need(needs)
        book = self.book
        book.now = now = self.clock()
        book.living = frozenset(name for name, row in self.workers.items() if row[2] > now)
        for key in needs.singletons:
            singleton = book.singletons.setdefault(key, Singleton(key=key))
            singleton.first = first_in_line(book, key)

    def _absorb(self, changes: Changes) -> None:
        """Put what was appended where it is read."""
        for entry in changes.events:
            self.events[entry.run_id].append(
                Event(
                    run_id=entry.run_id,
                    number=entry.number,
                    type=entry.type,
                    at=entry.at,
                    step=entry.step,
                    data=entry.data,
                )
            )
            if entry.origin is not None:
                self._origins[entry.run_id].add(entry.origin)
        for attempt in changes.attempts:
            self.attempts[attempt.run_id].append(
                Attempt(
                    step=attempt.step,
                    attempt=attempt.attempt,
                    executor=attempt.executor,
                    outcome=attempt.outcome,
                    seconds=attempt.seconds,
                    failure=attempt.failure,
                    finished_at=attempt.finished_at,
                )
            )
        for signal in changes.signals:
            self.signals[signal.run_id].append(Signal(**signal._asdict()))
        for copy in changes.copies:
            self._steps[copy.run_id].extend(copy.steps)
        for run_id, step in changes.new_steps:
            self._steps[run_id].append(step)

    def _read(self, answer: Any) -> Any:
        whole: Any = answer
        match answer:
            case RunAnswer():
                whole = self.run(answer.run_id)
            case ClaimAnswer():
                whole = Claim(
                    now=answer.now,
                    run=run_of(self.book.runs[answer.run_id]),
                    steps=self.steps(answer.run_id),
                    origins=frozenset(self._origins.get(answer.run_id, ())),
                    signals=list(self.signals.get(answer.run_id, ())),
                )
            case StepClaimAnswer():
                whole = StepClaim(
                    run=run_of(self.book.runs[answer.run_id]),
                    step=step_of(self.book.steps[answer.run_id, answer.step]),
                )
            case SignalAnswer():
                whole = Signalled(
                    run=run_of(self.book.runs[answer.run_id]),
                    number=answer.number,
                    woken=answer.woken,
                )
            case ApprovalAnswer():
                whole = self.approval(answer.approval_id)
            case StepsAnswer():
                whole = [step_of(self.book.steps[name]) for name in answer.names]
        return whole
