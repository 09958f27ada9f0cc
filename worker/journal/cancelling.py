"""How a run is cancelled from outside."""

from __future__ import annotations

from dataclasses import dataclass

from envelope.events import EventType
from envelope.ports.journal_rows import RunState
from worker.journal.book import Book, Needs
from worker.journal.operations import RunAnswer


@dataclass(slots=True)
class CancelRun:
    """End a run that nobody executes, or leave word for its owner. The first reason stays."""

    run_id: str
    reason: str

    def need(self, needs: Needs) -> None:
        """Name the run."""
        needs.runs.add(self.run_id)

    def apply(self, book: Book) -> RunAnswer:
        """Return the run as it then is."""
        run = book.runs.get(self.run_id)
        if run is None or run.ended:
            return RunAnswer(self.run_id)
        if run.cancel_reason is None:
            run.cancel_reason = self.reason
        if run.state is not RunState.RUNNING:
            run.state = RunState.CANCELLED
            run.owner = None
            run.finished_at = book.now
            book.tell(run, EventType.RUN_CANCELLED, reason=run.cancel_reason)
        book.touch(run)
        return RunAnswer(self.run_id)
