"""How a message reaches a run."""

from __future__ import annotations

from dataclasses import dataclass

from envelope.errors import RunEnded, UnknownRun
from envelope.events import EventType
from worker.journal.book import Book, Needs
from worker.journal.operations import SignalAnswer
from worker.journal.rows import RunRow
from worker.journal.waking import reason_to_wake, wake


@dataclass(slots=True)
class SendSignal:
    """Keep a signal under the run's next number; wake the run if it waits for it."""

    run_id: str
    name: str
    data: str

    def need(self, needs: Needs) -> None:
        """Name the run and its signals."""
        needs.runs.add(self.run_id)
        needs.signals.add(self.run_id)

    def apply(self, book: Book) -> SignalAnswer:
        """Return what the signal did."""
        run = book.runs.get(self.run_id)
        if run is None:
            raise UnknownRun(f"There is no run {self.run_id!r} to be signalled.")
        if run.ended:
            raise RunEnded(
                f"Run {run.run_id} is {run.state.value}; signal {self.name!r} was not kept. "
                f"`muster runs retry {run.run_id}` repeats it."
            )
        book.keep_signal(run, self.name, self.data)
        book.tell(run, EventType.RUN_SIGNALLED, name=self.name, number=run.signals)
        return SignalAnswer(run.run_id, run.signals, wake_by(book, run, self.name))


def wake_by(book: Book, run: RunRow, name: str) -> bool:
    """Wake the run if it waits for the signal of that name, which it has just got."""
    if run.waits is None or name not in run.waits.signals:
        return False
    reason = reason_to_wake(book, run, run.waits, ())
    if reason is None:
        return False
    wake(book, run, reason)
    return True
