"""The reading half of the journal in SQL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from envelope.ports.journal_rows import (
    AgentLimit,
    Attempt,
    Event,
    FailureGroup,
    Run,
    RunFilter,
    Signal,
    Step,
    WorkerRow,
)
from worker.journal.failures import read_failure_groups
from worker.journal.leases import read_workers
from worker.journal.limits import read_limits
from worker.journal.listing import read_counts, read_ended, read_newest, read_spent
from worker.journal.quarantined import read_quarantined
from worker.journal.reader import Reader
from worker.journal.reading import (
    read_attempts,
    read_events,
    read_owned,
    read_running,
    read_runs,
    read_settled,
    read_signals,
    read_steps_of,
)


class SqlReads(ABC):
    """What can be asked of a journal in SQL; nothing here waits for the writing thread."""

    @property
    @abstractmethod
    def _reader(self) -> Reader:
        """The reading threads."""

    async def settled_steps(self, steps: Sequence[tuple[str, str]]) -> Sequence[Step]:
        """Of the steps named, return those that are settled."""
        names = list(dict.fromkeys(steps))
        found = await self._reader.read(partial(read_settled, names=names))
        return [found[name] for name in names if name in found]

    async def running_steps(self, steps: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        """Of the steps named, return the names of those that somebody executes."""
        names = list(dict.fromkeys(steps))
        found = await self._reader.read(partial(read_running, names=names))
        return [name for name in names if name in found]

    async def owned(self, worker_id: str) -> Mapping[str, int]:
        """Return the epochs of the runs that are running in the name of a worker, by run id."""
        return await self._reader.read(partial(read_owned, worker_id=worker_id))

    async def signals(self, run_id: str, after: int = 0) -> Sequence[Signal]:
        """Return a run's signals whose number is above `after`, in order."""
        return await self._reader.read(partial(read_signals, run_id=run_id, after=max(0, after)))

    async def ended(self, run_ids: Sequence[str]) -> Sequence[Run]:
        """Of the runs named, return those that have ended."""
        return await self._reader.read(partial(read_ended, run_ids=run_ids)) if run_ids else []

    async def failure_groups(self, limit: int = 100) -> Sequence[FailureGroup]:
        """Return failed and dead runs that were not replayed, in groups, newest first."""
        return await self._reader.read(partial(read_failure_groups, limit=max(0, limit)))

    async def spent(self, root_id: str) -> tuple[int, float]:
        """Return tokens and US dollars used by a run and all its descendants."""
        return await self._reader.read(partial(read_spent, root_id=root_id))

    async def limits(self) -> Sequence[AgentLimit]:
        """Return what was set at run time, by agent."""
        return await self._reader.read(read_limits)

    async def run(self, run_id: str) -> Run | None:
        """Return a run."""
        found = await self._reader.read(partial(read_runs, run_ids=[run_id]))
        return found.get(run_id)

    async def runs(self, which: RunFilter) -> Sequence[Run]:
        """Return runs, newest first."""
        return await self._reader.read(partial(read_newest, which=which))

    async def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Return how many runs there are, by flow and state."""
        return await self._reader.read(read_counts)

    async def steps(self, run_id: str) -> Sequence[Step]:
        """Return a run's steps in the order in which they were first written."""
        found = await self._reader.read(partial(read_steps_of, run_ids=[run_id]))
        return found.get(run_id, [])

    async def attempts(self, run_id: str) -> Sequence[Attempt]:
        """Return all attempts of a run's steps, in order."""
        return await self._reader.read(partial(read_attempts, run_id=run_id))

    async def events(self, run_id: str, after: int = 0, limit: int = 1000) -> Sequence[Event]:
        """Return a run's events whose number is above `after`, in order."""
        query = partial(read_events, run_id=run_id, after=max(0, after), limit=max(0, limit))
        return await self._reader.read(query)

    async def workers(self) -> Sequence[WorkerRow]:
        """Return the workers, living and lapsed."""
        return await self._reader.read(read_workers)

    async def quarantined(self, limit: int = 50) -> Sequence[Mapping[str, Any]]:
        """Return the newest quarantined messages."""
        return await self._reader.read(partial(read_quarantined, limit=max(0, limit)))
