"""What wakes a waiting run: a time, a signal, the end of another run, a free singleton key."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from envelope.events import EventType
from envelope.ports.journal_rows import Hint, RunState, Waits
from worker.journal.book import Book, Needs
from worker.journal.finishing import queue_again
from worker.journal.rows import RunRow
from worker.journal.sending import mark_sent
from worker.journal.singletons import has_followers, is_free

Reason = Mapping[str, str]
"""Why a run is woken, as its event tells it: `why`, and the name of what came."""


@dataclass(slots=True)
class WakeRuns:
    """Queue those of the runs for which something has come.

    Attributes:
        run_ids: Runs that may be waiting, in the order in which they are woken.
        awaited: Runs whose end some of them wait for. What has ended, and everybody concerned was
            told, is not looked at again.
        keys: Singleton keys that some of them, or of the awaited, need or had.
    """

    run_ids: Sequence[str]
    awaited: Sequence[str]
    keys: Collection[str]

    def need(self, needs: Needs) -> None:
        """Name the runs, who waits for them, their signals and the singleton keys."""
        needs.runs.update(self.run_ids, self.awaited)
        needs.waiters.update(self.awaited)
        needs.signals.update(self.run_ids)
        needs.singletons.update(self.keys)

    def apply(self, book: Book) -> Sequence[Hint]:
        """Return a hint for each run that was woken and is due, marked as sent."""
        rows = (book.runs.get(run_id) for run_id in dict.fromkeys(self.run_ids))
        awaited = frozenset(self.awaited)
        woken = [row for row in rows if row is not None and _wake(book, row, awaited)]
        for run_id in self.awaited:
            self._note_told(book, book.runs.get(run_id))
        due = [row for row in woken if row.available_at <= book.now]
        mark_sent(book, due)
        return [row.hint for row in due]

    def _note_told(self, book: Book, run: RunRow | None) -> None:
        if run is None or not run.ended or not run.awaited:
            return
        told = book.waiters.get(run.run_id, set()).intersection(self.run_ids)
        for waiter in sorted(told):
            book.forget_wait(run.run_id, waiter)
        if not book.waiters.get(run.run_id) and not has_followers(book, run):
            run.awaited = False
            book.tie(run)


def reason_to_wake(
    book: Book, run: RunRow, waits: Waits, looked_at: Collection[str]
) -> Reason | None:
    """Return why the run need not wait (any more); None where it must.

    Args:
        book: Holds what is looked at.
        run: The run.
        waits: What it waits for.
        looked_at: Of the runs whose end it waits for, those that the book was asked for.
    """
    if waits.until is not None and waits.until <= book.now:
        return {"why": "time"}
    for name, consumed in waits.signals.items():
        if book.signal_counts[run.run_id, name] > consumed:
            return {"why": "signal", "signal": name}
    for child in waits.children:
        if child in looked_at and _has_ended(book, child):
            return {"why": "child", "child": child}
    if waits.singleton in book.singletons and _is_next(book, run, waits.singleton):
        return {"why": "singleton", "singleton": waits.singleton}
    return None


def wake(book: Book, run: RunRow, reason: Reason) -> None:
    """Queue a waiting run and tell why."""
    queue_again(book, run)
    book.tell(run, EventType.RUN_WOKEN, **reason)


def _wake(book: Book, run: RunRow, awaited: Collection[str]) -> bool:
    if run.state is not RunState.WAITING or run.waits is None:
        return False
    reason = reason_to_wake(book, run, run.waits, awaited)
    if reason is None:
        return False
    if run.waits.singleton is not None:
        book.take_key(book.singletons[run.waits.singleton], run)
    wake(book, run, reason)
    return True


def _has_ended(book: Book, run_id: str) -> bool:
    """Whether a run that was looked for has ended. One that is not there never will."""
    run = book.runs.get(run_id)
    return run is None or run.ended


def _is_next(book: Book, run: RunRow, key: str) -> bool:
    singleton = book.singletons[key]
    return is_free(book, singleton) and singleton.first == run.run_id
