"""The reading half of a journal in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from envelope.ports.journal_rows import (
    AgentLimit,
    Attempt,
    Event,
    FailureGroup,
    Run,
    RunFilter,
    RunState,
    Signal,
    Step,
    StepState,
    WorkerRow,
)
from envelope.ports.journal_writes import QuarantinedMessage
from worker.journal.checking import checked_limit, checked_message
from worker.journal.memory_queries import failure_groups, matching, spent
from worker.journal.memory_store import MemoryStore
from worker.journal.rows import run_of
from worker.journal.step_rows import step_of


class MemoryReads:
    """What can be asked of a journal in memory, and the little that no rule decides.

    Args:
        store: Everything.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def settled_steps(self, steps: Sequence[tuple[str, str]]) -> Sequence[Step]:
        """Of the steps named, return those that are settled."""
        with self._store.lock:
            rows = [self._store.book.steps.get(name) for name in dict.fromkeys(steps)]
            return [step_of(row) for row in rows if row is not None and row.settled]

    async def running_steps(self, steps: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        """Of the steps named, return the names of those that somebody executes."""
        with self._store.lock:
            rows = {name: self._store.book.steps.get(name) for name in steps}
            return [name for name, row in rows.items() if row and row.state is StepState.RUNNING]

    async def owned(self, worker_id: str) -> Mapping[str, int]:
        """Return the epochs of the runs that are running in the name of a worker, by run id."""
        with self._store.lock:
            rows = self._store.book.runs.values()
            return {
                row.run_id: row.epoch
                for row in rows
                if row.owner == worker_id and row.state is RunState.RUNNING
            }

    async def signals(self, run_id: str, after: int = 0) -> Sequence[Signal]:
        """Return a run's signals whose number is above `after`, in order."""
        with self._store.lock:
            return self._store.signals.get(run_id, [])[max(0, after) :]

    async def ended(self, run_ids: Sequence[str]) -> Sequence[Run]:
        """Of the runs named, return those that have ended."""
        with self._store.lock:
            rows = [self._store.book.runs.get(run_id) for run_id in dict.fromkeys(run_ids)]
            return [run_of(row) for row in rows if row is not None and row.ended]

    async def failure_groups(self, limit: int = 100) -> Sequence[FailureGroup]:
        """Return failed and dead runs that were not replayed, in groups, newest first."""
        with self._store.lock:
            return failure_groups(self._store.book, limit)

    async def spent(self, root_id: str) -> tuple[int, float]:
        """Return tokens and US dollars used by a run and all its descendants."""
        with self._store.lock:
            return spent(self._store.book, root_id)

    async def limits(self) -> Sequence[AgentLimit]:
        """Return what was set at run time, by agent."""
        with self._store.lock:
            return [limit for _, limit in sorted(self._store.limits.items())]

    async def set_limit(self, limit: AgentLimit) -> None:
        """Set it; one with neither concurrency nor rate is forgotten."""
        checked_limit(limit)
        with self._store.lock:
            self._store.limits.pop(limit.agent, None)
            if limit.concurrency is not None or limit.rate is not None:
                self._store.limits[limit.agent] = limit

    async def run(self, run_id: str) -> Run | None:
        """Return a run."""
        with self._store.lock:
            return self._store.run(run_id)

    async def runs(self, which: RunFilter) -> Sequence[Run]:
        """Return runs, newest first."""
        with self._store.lock:
            return [run_of(row) for row in matching(self._store.book, which)]

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many runs there are, by flow and state."""
        counts: dict[str, dict[str, int]] = {}
        with self._store.lock:
            for row in self._store.book.runs.values():
                states = counts.setdefault(row.flow, {})
                states[row.state.value] = states.get(row.state.value, 0) + 1
        return counts

    async def steps(self, run_id: str) -> Sequence[Step]:
        """Return a run's steps in the order in which they were first written."""
        with self._store.lock:
            return self._store.steps(run_id)

    async def attempts(self, run_id: str) -> Sequence[Attempt]:
        """Return all attempts of a run's steps, in order."""
        with self._store.lock:
            return list(self._store.attempts.get(run_id, ()))

    async def events(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """Return a run's events whose number is above `after`, in order."""
        with self._store.lock:
            first = max(0, after)
            return self._store.events.get(run_id, [])[first : first + max(0, limit)]

    async def workers(self) -> Sequence[WorkerRow]:
        """Return the workers, living and lapsed."""
        with self._store.lock:
            now = self._store.clock()
            return [
                WorkerRow(
                    worker_id=worker.worker_id,
                    hostname=worker.hostname,
                    pid=worker.pid,
                    details=worker.details,
                    started_at=started_at,
                    expires_in=expires_at - now,
                )
                for _, (worker, started_at, expires_at) in sorted(self._store.workers.items())
            ]

    async def quarantine(self, message: QuarantinedMessage) -> None:
        """Keep a malformed message's description."""
        checked_message(message)
        with self._store.lock:
            number = len(self._store.quarantine) + 1
            entry = {"number": number, "at": self._store.clock(), **asdict(message)}
            self._store.quarantine.append(entry)

    async def quarantined(self, limit: int = 50) -> Sequence[Mapping[str, Any]]:
        """Return the newest quarantined messages."""
        with self._store.lock:
            return [dict(entry) for entry in self._store.quarantine[::-1][: max(0, limit)]]
