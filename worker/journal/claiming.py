"""How a worker takes a run."""

from __future__ import annotations

from dataclasses import dataclass

from envelope.events import EventType
from envelope.ports.journal import RunState
from worker.journal.book import Book, Needs
from worker.journal.operations import ClaimAnswer
from worker.journal.rows import RunRow


@dataclass(slots=True)
class TakeRun:
    """Make `worker_id` the owner of a run that is due and that no living worker has."""

    run_id: str
    worker_id: str

    def need(self, needs: Needs) -> None:
        """Name the run and the leases."""
        needs.runs.add(self.run_id)
        needs.leases = True

    def apply(self, book: Book) -> ClaimAnswer | None:
        """Take the run under a new epoch; None when it is not to be taken."""
        run = book.runs.get(self.run_id)
        if run is None or not self._free(run, book):
            return None
        if run.state is RunState.RUNNING:
            # Nobody rescued it yet. The loss counts all the same, or a poison run would never die.
            run.losses += 1
            book.tell(run, EventType.RUN_LOST, worker=run.owner, losses=run.losses)
        self._own(run, book)
        return ClaimAnswer(run.run_id, run.epoch, self.worker_id)

    def _free(self, run: RunRow, book: Book) -> bool:
        if run.state is RunState.QUEUED:
            return run.available_at <= book.now
        if run.state is RunState.RUNNING:
            # A second message for a run that this very process holds is a duplicate.
            return run.owner != self.worker_id and book.lapsed(run.owner)
        return False

    def _own(self, run: RunRow, book: Book) -> None:
        first = run.started_at is None
        run.epoch += 1
        run.owner = self.worker_id
        run.state = RunState.RUNNING
        if first:
            run.started_at = book.now
        kind = EventType.RUN_STARTED if first else EventType.RUN_RESUMED
        book.tell(run, kind, worker=self.worker_id, epoch=run.epoch)
