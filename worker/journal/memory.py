"""A journal in the memory of one process: for tests and for runs that need no durability."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

from envelope.ports.journal_rows import (
    Accepted,
    Beat,
    Claim,
    Hint,
    Rescue,
    Run,
    RunState,
    Signalled,
    Step,
    StepClaim,
)
from envelope.ports.journal_writes import Commit, NewRun, StepCommit, WorkerInfo
from worker.journal.accepting import Accept
from worker.journal.cancelling import AskChildren, CancelRun
from worker.journal.checking import (
    checked_commit,
    checked_run,
    checked_signal,
    checked_step_commit,
    checked_text,
    checked_worker,
)
from worker.journal.claiming import TakeRun
from worker.journal.committing import WriteRun
from worker.journal.executing import TakeStep, WriteStep
from worker.journal.losing import PURGE_AFTER, BlameRun, RescueRuns, RescueSteps
from worker.journal.memory_ledger import MemoryLedger
from worker.journal.memory_queries import (
    active_children,
    age,
    cancelled_runs,
    unasked,
    vain_steps,
    wakeable,
    wakeable_of,
)
from worker.journal.memory_reads import MemoryReads
from worker.journal.memory_store import MemoryStore
from worker.journal.sending import ForgetSent, MarkSent, Missing, SendMissing
from worker.journal.signalling import SendSignal


class MemoryJournal(MemoryReads, MemoryLedger):
    """The journal's rules over plain dictionaries. Nothing survives the process.

    Safe to use from several threads and event loops. What is submitted is written at once.

    Args:
        clock: Returns seconds since 1970; the only clock that this journal looks at.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(MemoryStore(clock))
        self._known: set[str] = set()

    async def open(self) -> None:
        """Nothing is to be connected."""

    async def close(self) -> None:
        """Nothing is to be let go of: what was written stays readable."""

    async def accept(self, new: NewRun) -> Accepted:
        """Commit a run, or return the one that stands for its trigger."""
        return cast("Accepted", self._store.do(Accept(checked_run(new))))

    async def claim(
        self,
        run_id: str,
        worker_id: str,
        *,
        from_owner: str | None = None,
        from_epoch: int | None = None,
        versions: Mapping[str, Sequence[int]] | None = None,
        again: bool = False,
    ) -> Claim | None:
        """Take a queued run, or a running one whose owner's lease lapsed."""
        checked_text("Claim", run_id, worker_id)
        operation = TakeRun(run_id, worker_id, from_owner, from_epoch, versions, again)
        return cast("Claim | None", self._store.do(operation))

    async def commit(self, commit: Commit) -> int:
        """Write, and return the number of the run's last event."""
        return cast("int", self._store.do(WriteRun(checked_commit(commit))))

    def submit(self, commit: Commit, then: Callable[[], None] | None = None) -> None:
        """Write without waiting. A fenced write is dropped: the next awaited one tells."""
        operation = WriteRun(checked_commit(commit))
        with self._store.lock:
            run = self._store.book.runs.get(commit.run_id)
            if not (run and run.state is RunState.RUNNING and run.epoch == commit.epoch):
                return
            self._store.do(operation)
        if then is not None:
            then()

    async def claim_step(
        self, run_id: str, step: str, executor: str, *, again: bool = False
    ) -> StepClaim | None:
        """Take a queued step."""
        checked_text("Step claim", run_id, step, executor)
        return cast("StepClaim | None", self._store.do(TakeStep(run_id, step, executor, again)))

    async def commit_step(self, commit: StepCommit) -> str | None:
        """Write a queued step's outcome; return the run's owner."""
        return cast("str | None", self._store.do(WriteStep(checked_step_commit(commit))))

    async def rescue_steps(
        self, steps: Sequence[tuple[str, str]], max_losses: int
    ) -> Sequence[Step]:
        """Put the steps whose executor's lease lapsed back to `queued`, or fail them."""
        return cast("Sequence[Step]", self._store.do(RescueSteps(list(steps), max_losses)))

    async def unsent(
        self, topics_empty: frozenset[str], grace: float, limit: int
    ) -> Sequence[Hint]:
        """Return due runs whose message is missing, never-sent ones first, and mark them sent."""
        missing = Missing(topics_empty, grace)
        with self._store.lock:
            now = self._store.clock()
            due = [row for row in self._store.book.runs.values() if missing.applies(row, now)]
            due.sort(key=lambda row: (row.sent_at is not None, row.sent_at or 0, *age(row)))
            chosen = [row.run_id for row in due[: max(0, limit)]]
            return cast("Sequence[Hint]", self._store.do(SendMissing(chosen, missing)))

    async def mark_sent(self, run_ids: Sequence[str]) -> None:
        """Note that messages went out for these runs."""
        self._store.do(MarkSent(list(run_ids)))

    async def forget_sent(self, run_ids: Sequence[str]) -> None:
        """Take that note back for those of these runs that nobody has claimed yet."""
        self._store.do(ForgetSent(list(run_ids)))

    async def beat(self, worker: WorkerInfo, lease_seconds: float) -> Beat:
        """Renew this process's lease; return what it shall stop."""
        checked_worker(worker)
        name, workers, book = worker.worker_id, self._store.workers, self._store.book
        with self._store.lock:
            now = self._store.clock()
            before = workers.get(name)
            lapsed = name in self._known if before is None else before[2] <= now
            workers[name] = (worker, before[1] if before else now, now + lease_seconds)
            self._known.add(name)
            return Beat(
                runs=tuple(cancelled_runs(book, name)),
                steps=tuple(vain_steps(book, name)),
                lapsed=lapsed,
            )

    async def retire(self, worker_id: str) -> None:
        """Forget a worker that ends in order."""
        with self._store.lock:
            self._store.workers.pop(worker_id, None)
            self._known.discard(worker_id)

    async def rescue(self, max_losses: int) -> Sequence[Rescue]:
        """Queue every running run whose owner's lease lapsed, or end it as dead."""
        with self._store.lock:
            rows = self._store.book.runs.values()
            running = sorted((row for row in rows if row.state is RunState.RUNNING), key=age)
            rescued = self._store.do(RescueRuns([row.run_id for row in running], max_losses))
            self._purge_workers()
            return cast("Sequence[Rescue]", rescued)

    async def blame(self, run_id: str, worker_id: str, max_losses: int) -> Rescue | None:
        """Count a loss that is the run's own doing."""
        return cast("Rescue | None", self._store.do(BlameRun(run_id, worker_id, max_losses)))

    async def cancel(self, run_id: str, reason: str) -> Run | None:
        """End a run that is queued or waiting, or ask its owner to; its descendants likewise."""
        checked_text("Cancellation", run_id, reason)
        with self._store.lock:
            run = self._store.do(CancelRun(run_id, reason))
            self._ask_families(name for name in unasked(self._store.book) if name == run_id)
            return cast("Run | None", run)

    async def signal(self, run_id: str, name: str, data: str) -> Signalled:
        """Keep a signal for a run; wake the run if it waits for one of that name."""
        checked_signal(run_id, name, data)
        return cast("Signalled", self._store.do(SendSignal(run_id, name, data)))

    async def wake(self, limit: int, run_ids: Sequence[str] | None = None) -> Sequence[Hint]:
        """Queue waiting runs for which something has come."""
        most = max(0, limit)
        with self._store.lock:
            book = self._store.book
            if run_ids is not None:
                return cast("Sequence[Hint]", self._store.do(wakeable_of(book, run_ids, most)))
            self._ask_families(unasked(book)[:most])
            operation = wakeable(book, self._store.clock(), most)
            return cast("Sequence[Hint]", self._store.do(operation))

    def _ask_families(self, parents: Iterable[str]) -> None:
        """Ask the descendants of these runs to stop, one generation after the other."""
        while generation := list(parents):
            family = active_children(self._store.book, generation)
            parents = self._store.do(AskChildren(family, generation))

    def _purge_workers(self) -> None:
        oldest = self._store.clock() - PURGE_AFTER
        kept = {name: row for name, row in self._store.workers.items() if row[2] >= oldest}
        self._store.workers = kept
