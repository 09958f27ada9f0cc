"""A journal in the memory of one process: for tests and for runs that need no durability."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from threading import RLock
from typing import Any, cast

from envelope.ports.journal_rows import (
    Accepted,
    Attempt,
    Claim,
    Commit,
    Event,
    Hint,
    NewRun,
    QuarantinedMessage,
    Rescue,
    Run,
    RunFilter,
    RunState,
    Step,
    StepClaim,
    StepCommit,
    WorkerInfo,
    WorkerRow,
)
from worker.journal.accepting import Accept
from worker.journal.book import Book
from worker.journal.cancelling import CancelRun
from worker.journal.checking import (
    checked_commit,
    checked_message,
    checked_run,
    checked_step_commit,
    checked_text,
    checked_worker,
)
from worker.journal.claiming import TakeRun
from worker.journal.committing import WriteRun
from worker.journal.executing import TakeStep, WriteStep
from worker.journal.losing import PURGE_AFTER, BlameRun, RescueRuns, RescueSteps
from worker.journal.operations import (
    ClaimAnswer,
    Operation,
    RunAnswer,
    StepClaimAnswer,
    StepsAnswer,
)
from worker.journal.rows import RunRow, run_of, step_of
from worker.journal.sending import MarkSent, Missing, SendMissing


class MemoryJournal:
    """The journal's rules over plain dictionaries. Nothing survives the process.

    Safe to use from several threads and event loops. What is submitted is written at once.

    Args:
        clock: Returns seconds since 1970; the only clock that this journal looks at.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = RLock()
        self._book = Book()
        self._events: dict[str, list[Event]] = defaultdict(list)
        self._attempts: dict[str, list[Attempt]] = defaultdict(list)
        self._steps: dict[str, list[str]] = defaultdict(list)
        self._origins: dict[str, set[str]] = defaultdict(set)
        self._workers: dict[str, tuple[WorkerInfo, float, float]] = {}
        self._quarantine: list[Mapping[str, Any]] = []

    async def open(self) -> None:
        """Nothing is to be connected."""

    async def close(self) -> None:
        """Nothing is to be let go of: what was written stays readable."""

    async def accept(self, new: NewRun) -> Accepted:
        """Commit a run, or return the one that its tenant, flow and key already name."""
        return cast("Accepted", self._do(Accept(checked_run(new))))

    async def claim(
        self,
        run_id: str,
        worker_id: str,
        *,
        from_owner: str | None = None,
        versions: Mapping[str, Sequence[int]] | None = None,
    ) -> Claim | None:
        """Take a queued run, or a running one whose owner's lease lapsed."""
        checked_text("Claim", run_id, worker_id)
        return cast("Claim | None", self._do(TakeRun(run_id, worker_id, from_owner, versions)))

    async def commit(self, commit: Commit) -> int:
        """Write, and return the number of the run's last event."""
        return cast("int", self._do(WriteRun(checked_commit(commit))))

    def submit(self, commit: Commit) -> None:
        """Write without waiting. A fenced write is dropped: the next awaited one tells."""
        operation = WriteRun(checked_commit(commit))
        with self._lock:
            run = self._book.runs.get(commit.run_id)
            if run and run.state is RunState.RUNNING and run.epoch == commit.epoch:
                self._do(operation)

    async def claim_step(self, run_id: str, step: str, executor: str) -> StepClaim | None:
        """Take a queued step."""
        checked_text("Step claim", run_id, step, executor)
        return cast("StepClaim | None", self._do(TakeStep(run_id, step, executor)))

    async def commit_step(self, commit: StepCommit) -> str | None:
        """Write a queued step's outcome; return the run's owner."""
        return cast("str | None", self._do(WriteStep(checked_step_commit(commit))))

    async def settled_steps(self, steps: Sequence[tuple[str, str]]) -> Sequence[Step]:
        """Of the steps named, return those that are settled."""
        with self._lock:
            rows = [self._book.steps.get(name) for name in dict.fromkeys(steps)]
            return [step_of(row) for row in rows if row is not None and row.settled]

    async def rescue_steps(
        self, steps: Sequence[tuple[str, str]], max_losses: int
    ) -> Sequence[Step]:
        """Put the steps whose executor's lease lapsed back to `queued`, or fail them."""
        return cast("Sequence[Step]", self._do(RescueSteps(list(steps), max_losses)))

    async def unsent(
        self, topics_empty: frozenset[str], grace: float, limit: int
    ) -> Sequence[Hint]:
        """Return due runs whose message is missing, never-sent ones first, and mark them sent."""
        missing = Missing(topics_empty, grace)
        with self._lock:
            now = self._clock()
            due = [row for row in self._book.runs.values() if missing.applies(row, now)]
            due.sort(key=lambda row: (row.sent_at is not None, row.sent_at or 0, *_age(row)))
            chosen = [row.run_id for row in due[: max(0, limit)]]
            return cast("Sequence[Hint]", self._do(SendMissing(chosen, missing)))

    async def mark_sent(self, run_ids: Sequence[str]) -> None:
        """Note that messages went out for these runs."""
        self._do(MarkSent(list(run_ids)))

    async def beat(self, worker: WorkerInfo, lease_seconds: float) -> Sequence[tuple[str, str]]:
        """Renew this process's lease; return its runs that shall be cancelled."""
        checked_worker(worker)
        with self._lock:
            now = self._clock()
            _, started_at, _ = self._workers.get(worker.worker_id, (worker, now, now))
            self._workers[worker.worker_id] = (worker, started_at, now + lease_seconds)
            return [
                (row.run_id, row.cancel_reason)
                for row in sorted(self._book.runs.values(), key=lambda row: row.run_id)
                if row.state is RunState.RUNNING
                and row.owner == worker.worker_id
                and row.cancel_reason is not None
            ]

    async def retire(self, worker_id: str) -> None:
        """Forget a worker that ends in order."""
        with self._lock:
            self._workers.pop(worker_id, None)

    async def rescue(self, max_losses: int) -> Sequence[Rescue]:
        """Queue every running run whose owner's lease lapsed, or end it as dead."""
        with self._lock:
            running = (r for r in self._book.runs.values() if r.state is RunState.RUNNING)
            run_ids = [row.run_id for row in sorted(running, key=_age)]
            rescued = self._do(RescueRuns(run_ids, max_losses))
            self._purge_workers()
            return cast("Sequence[Rescue]", rescued)

    async def blame(self, run_id: str, worker_id: str, max_losses: int) -> Rescue | None:
        """Count a loss that is the run's own doing."""
        return cast("Rescue | None", self._do(BlameRun(run_id, worker_id, max_losses)))

    async def cancel(self, run_id: str, reason: str) -> Run | None:
        """End a run that is queued or waiting, or ask its owner to."""
        checked_text("Cancellation", run_id, reason)
        return cast("Run | None", self._do(CancelRun(run_id, reason)))

    async def run(self, run_id: str) -> Run | None:
        """Return a run."""
        with self._lock:
            return self._run(run_id)

    async def runs(self, which: RunFilter) -> Sequence[Run]:
        """Return runs, newest first."""
        with self._lock:
            rows = sorted(
                (row for row in self._book.runs.values() if _matches(row, which)),
                key=_age,
                reverse=True,
            )
            if which.before is not None:
                before = self._book.runs.get(which.before)
                rows = [row for row in rows if before is not None and _age(row) < _age(before)]
            return [run_of(row) for row in rows[: max(0, which.limit)]]

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many runs there are, by flow and state."""
        counts: dict[str, dict[str, int]] = {}
        with self._lock:
            for row in self._book.runs.values():
                states = counts.setdefault(row.flow, {})
                states[row.state.value] = states.get(row.state.value, 0) + 1
        return counts

    async def steps(self, run_id: str) -> Sequence[Step]:
        """Return a run's steps in the order in which they were first written."""
        with self._lock:
            return self._steps_of(run_id)

    async def attempts(self, run_id: str) -> Sequence[Attempt]:
        """Return all attempts of a run's steps, in order."""
        with self._lock:
            return list(self._attempts.get(run_id, ()))

    async def events(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """Return a run's events whose number is above `after`, in order."""
        with self._lock:
            first = max(0, after)
            return self._events.get(run_id, [])[first : first + max(0, limit)]

    async def workers(self) -> Sequence[WorkerRow]:
        """Return the workers, living and lapsed."""
        with self._lock:
            now = self._clock()
            return [
                WorkerRow(
                    worker_id=worker.worker_id,
                    hostname=worker.hostname,
                    pid=worker.pid,
                    details=worker.details,
                    started_at=started_at,
                    expires_in=expires_at - now,
                )
                for _, (worker, started_at, expires_at) in sorted(self._workers.items())
            ]

    async def quarantine(self, message: QuarantinedMessage) -> None:
        """Keep a malformed message's description."""
        checked_message(message)
        with self._lock:
            self._quarantine.append(
                {
                    "number": len(self._quarantine) + 1,
                    "at": self._clock(),
                    "queue": message.queue,
                    "reason": message.reason,
                    "sha256": message.sha256,
                    "size": message.size,
                    "excerpt": message.excerpt,
                }
            )

    async def quarantined(self, limit: int = 50) -> Sequence[Mapping[str, Any]]:
        """Return the newest quarantined messages."""
        with self._lock:
            return [dict(entry) for entry in self._quarantine[::-1][: max(0, limit)]]

    def _do(self, operation: Operation) -> Any:
        with self._lock:
            self._book.now = self._clock()
            self._book.living = self._living()
            answer = operation.apply(self._book)
            self._absorb()
            return self._read(answer)

    def _living(self) -> frozenset[str]:
        now = self._book.now
        return frozenset(name for name, (_, _, expires) in self._workers.items() if expires > now)

    def _absorb(self) -> None:
        """Put what was appended where it is read."""
        changes = self._book.drain()
        for entry in changes.events:
            self._events[entry.run_id].append(
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
            self._attempts[attempt.run_id].append(
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
        for run_id, step in changes.new_steps:
            self._steps[run_id].append(step)

    def _read(self, answer: Any) -> Any:
        match answer:
            case RunAnswer():
                return self._run(answer.run_id)
            case ClaimAnswer():
                return Claim(
                    run=run_of(self._book.runs[answer.run_id]),
                    steps=self._steps_of(answer.run_id),
                    origins=frozenset(self._origins.get(answer.run_id, ())),
                )
            case StepClaimAnswer():
                return StepClaim(
                    run=run_of(self._book.runs[answer.run_id]),
                    step=step_of(self._book.steps[answer.run_id, answer.step]),
                )
            case StepsAnswer():
                return [step_of(self._book.steps[name]) for name in answer.names]
            case _:
                return answer

    def _run(self, run_id: str) -> Run | None:
        row = self._book.runs.get(run_id)
        return None if row is None else run_of(row)

    def _steps_of(self, run_id: str) -> Sequence[Step]:
        return [step_of(self._book.steps[run_id, step]) for step in self._steps.get(run_id, ())]

    def _purge_workers(self) -> None:
        oldest = self._clock() - PURGE_AFTER
        self._workers = {k: row for k, row in self._workers.items() if row[2] >= oldest}


def _age(row: RunRow) -> tuple[float, str]:
    return (row.created_at, row.run_id)


def _matches(row: RunRow, which: RunFilter) -> bool:
    return (
        (not which.states or row.state in which.states)
        and (which.flow is None or row.flow == which.flow)
        and (which.tenant is None or row.tenant == which.tenant)
        and all(row.tags.get(name) == value for name, value in which.tags.items())
    )
