"""Which runs need a message, and the note that one went out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from envelope.ports.journal_rows import Hint, RunState
from worker.journal.book import Book, Needs
from worker.journal.rows import RunRow

PATIENT_SENDS = 4
"""As many sends follow each other at the same pace; from then on each wait is twice the last.

A worker may be killed after it fetched a message and before it claimed the run. That its successor
meets the same fate is rare, but must not cost the run more than another round.
"""

DOUBLINGS = 6
"""How often the wait doubles at most."""

BUSY_FACTOR = 10
"""How much longer to wait while the topic has messages: ours may well be among them."""


@dataclass(frozen=True, slots=True)
class Missing:
    """When a run's message counts as missing; `topics_empty` names queues `runs.<flow>`."""

    topics_empty: frozenset[str]
    grace: float

    @property
    def flows_empty(self) -> list[str]:
        """The flows whose topic is empty."""
        return sorted(t.removeprefix("runs.") for t in self.topics_empty if t.startswith("runs."))

    def applies(self, run: RunRow, now: float) -> bool:
        """Whether the run is due and its message missing."""
        if run.state is not RunState.QUEUED or run.available_at > now:
            return False
        return run.sent_at is None or run.sent_at <= now - self._patience(run)

    def _patience(self, run: RunRow) -> float:
        patience = backoff(self.grace, run.sends)
        return patience if f"runs.{run.flow}" in self.topics_empty else patience * BUSY_FACTOR


def backoff(grace: float, sends: int) -> float:
    """Return the seconds after which a message sent for the `sends`-th time counts as lost."""
    return grace * 2.0 ** max(0, min(sends - PATIENT_SENDS, DOUBLINGS))


@dataclass(slots=True)
class SendMissing:
    """Mark those of the runs as sent whose message still is missing; another may be faster."""

    run_ids: Sequence[str]
    missing: Missing

    def need(self, needs: Needs) -> None:
        """Name the runs."""
        needs.runs.update(self.run_ids)

    def apply(self, book: Book) -> Sequence[Hint]:
        """Return a hint for each run marked, in the order given."""
        rows = (book.runs.get(run_id) for run_id in self.run_ids)
        due = [row for row in rows if row is not None and self.missing.applies(row, book.now)]
        mark_sent(book, due)
        return [row.hint for row in due]


@dataclass(slots=True)
class MarkSent:
    """Note that messages went out. A run that was taken, or ended, meanwhile needs no note."""

    run_ids: Sequence[str]

    def need(self, needs: Needs) -> None:
        """Name the runs."""
        needs.runs.update(self.run_ids)

    def apply(self, book: Book) -> None:
        """Count a send for each run that is still queued."""
        rows = (book.runs.get(run_id) for run_id in self.run_ids)
        mark_sent(book, [row for row in rows if row is not None and row.state is RunState.QUEUED])


@dataclass(slots=True)
class ForgetSent:
    """Note that messages did not go out, after all. A run that was taken meanwhile had one."""

    run_ids: Sequence[str]

    def need(self, needs: Needs) -> None:
        """Name the runs."""
        needs.runs.update(self.run_ids)

    def apply(self, book: Book) -> None:
        """Let each run that nobody took yet be sent again at once."""
        for run in filter(None, map(book.runs.get, self.run_ids)):
            if run.state is RunState.QUEUED and not run.epoch and run.sends:
                run.sends -= 1
                run.sent_at = None
                book.touch(run)


def mark_sent(book: Book, runs: Iterable[RunRow]) -> None:
    """Note that a message goes out for each of the runs."""
    for run in runs:
        run.sends += 1
        run.sent_at = book.now
        book.touch(run)
