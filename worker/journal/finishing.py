"""The two ways in which a run stops waiting or running: it ends, or it is queued again."""

from __future__ import annotations

from envelope.ports.journal_rows import RunState
from worker.journal.book import Book
from worker.journal.rows import RunRow


def finish(book: Book, run: RunRow, state: RunState) -> None:
    """End the run. Unless it succeeded, its children are to be asked to stop."""
    run.state = state
    run.owner = None
    run.finished_at = book.now
    stop_waiting(book, run)
    if state is not RunState.SUCCEEDED:
        ask_children(book, run)
    book.touch(run)


def queue_again(book: Book, run: RunRow) -> None:
    """Queue the run as one for which no message was sent yet."""
    run.state = RunState.QUEUED
    run.owner = None
    run.sent_at = None
    run.sends = 0
    stop_waiting(book, run)
    book.touch(run)


def stop_waiting(book: Book, run: RunRow) -> None:
    """Forget what the run waits for."""
    if run.waits is not None:
        run.waits = None
        book.tie(run)


def ask_children(book: Book, run: RunRow) -> None:
    """Leave word that the run's children are to be asked to stop."""
    if run.children:
        run.unasked = True
        book.tie(run)
