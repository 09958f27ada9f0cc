"""How a worker takes a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from envelope.events import EventType
from envelope.ports.journal_rows import RunState
from worker.journal.book import Book, Needs
from worker.journal.operations import ClaimAnswer
from worker.journal.rows import RunRow


@dataclass(slots=True)
class TakeRun:
    """Make `worker_id` the owner of a run that is due and that no living worker has.

    Or that its owner, `from_owner`, hands over while it lives. A run of a flow or version that is
    not in `versions` is left alone.
    """

    run_id: str
    worker_id: str
    from_owner: str | None = None
    from_epoch: int | None = None
    versions: Mapping[str, Sequence[int]] | None = None
    again: bool = False

    def need(self, needs: Needs) -> None:
        """Name the run and the leases."""
        needs.runs.add(self.run_id)
        needs.leases = True

    def apply(self, book: Book) -> ClaimAnswer | None:
        """Take the run under a new epoch; None when it is not to be taken."""
        run = book.runs.get(self.run_id)
        if run is None or not self._runnable(run) or not self._free(run, book):
            return None
        if run.state is RunState.RUNNING and run.owner not in {self.from_owner, self.worker_id}:
            # Nobody rescued it yet. The loss counts all the same, or a poison run would never die.
            run.losses += 1
            book.tell(run, EventType.RUN_LOST, worker=run.owner, losses=run.losses)
        self._own(run, book)
        fresh = run.epoch == 1 and not run.positions
        return ClaimAnswer(run.run_id, run.epoch, self.worker_id, run.signals, book.now, fresh)

    def _free(self, run: RunRow, book: Book) -> bool:
        if run.state is RunState.QUEUED:
            return run.available_at <= book.now
        if run.state is RunState.RUNNING:
            if self.from_owner is not None:
                same = self.from_epoch is None or run.epoch == self.from_epoch
                return same and run.owner == self.from_owner
            # A second message for a run that this very process holds is a duplicate.
            return self.again if run.owner == self.worker_id else book.lapsed(run.owner)
        return False

    def _runnable(self, run: RunRow) -> bool:
        return self.versions is None or run.version in self.versions.get(run.flow, ())

    def _own(self, run: RunRow, book: Book) -> None:
        first = run.started_at is None
        run.epoch += 1
        run.owner = self.worker_id
        run.sends = 0
        run.state = RunState.RUNNING
        if first:
            run.started_at = book.now
        kind = EventType.RUN_STARTED if first else EventType.RUN_RESUMED
        book.tell(run, kind, worker=self.worker_id, epoch=run.epoch)
