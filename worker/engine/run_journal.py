"""A run's writes under its fence; a refused one ends the run here, not in flow code."""

from __future__ import annotations

from envelope.errors import Fenced
from envelope.ports.journal_writes import Commit
from worker.engine.execution import RunExecution, Stop
from worker.engine.parts import EngineParts
from worker.engine.persist import until_written
from worker.engine.writes import Writes


class RunJournal:
    """Writes for one claimed run."""

    def __init__(self, parts: EngineParts, execution: RunExecution) -> None:
        self._parts = parts
        self._execution = execution

    async def commit(self, writes: Writes) -> None:
        """Write durably; return when it is."""
        commit, journal = self._commit(writes), self._parts.journal
        try:
            await until_written(lambda: journal.commit(commit), self._parts.log)
        except Fenced:
            await self._execution.abort(Stop.FENCED)
        self._tell()

    def submit(self, writes: Writes) -> None:
        """Write before any later commit, without waiting."""
        self._parts.journal.submit(self._commit(writes), self._tell)

    def _commit(self, writes: Writes) -> Commit:
        return Commit(
            run_id=self._execution.run.run_id,
            epoch=self._execution.epoch,
            steps=writes.steps,
            attempts=writes.attempts,
            events=writes.events,
        )

    def _tell(self) -> None:
        self._parts.wakeups.notify(self._execution.run.run_id, "events")
