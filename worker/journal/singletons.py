"""Keys that at most one active run has at a time; the others stand in line.

The row of a key names the run that took it last. The key is free once that run has ended, so the
end of a run needs no further write; the next in line is woken afterwards.
"""

from __future__ import annotations

from envelope.errors import SingletonConflict
from envelope.ports.journal_rows import RunState, Waits
from envelope.ports.journal_writes import NewRun
from worker.journal.book import Book, Singleton
from worker.journal.rows import RunRow

REJECT = "reject"
JOIN = "join"
POLICIES = frozenset({"queue", REJECT, JOIN, "replace"})
"""What `on_conflict` may say."""


def ahead_of(book: Book, new: NewRun) -> str | None:
    """Return the active run that comes before the new one; None where the key is to be had.

    Raises:
        SingletonConflict: There is one, and the new run would rather not be than wait.
    """
    if new.singleton is None:
        return None
    singleton = book.singletons[new.singleton]
    ahead = singleton.first if is_free(book, singleton) else singleton.holder
    if ahead is not None and new.on_conflict == REJECT:
        raise SingletonConflict(new.singleton, ahead)
    return ahead


def take_or_wait(book: Book, run: RunRow, ahead: str | None) -> None:
    """Give the key of a run that enters to it, or put the run into the line."""
    if run.singleton is None:
        return
    singleton = book.singletons[run.singleton]
    if ahead is None:
        book.take_key(singleton, run)
        return
    run.state = RunState.WAITING
    run.waits = Waits(singleton=run.singleton)
    singleton.first = singleton.first or run.run_id


def is_free(book: Book, singleton: Singleton) -> bool:
    """Whether no active run has the key."""
    holder = book.runs.get(singleton.holder) if singleton.holder is not None else None
    return singleton.free if holder is None else holder.ended


def has_followers(book: Book, run: RunRow) -> bool:
    """Whether the next in line for the key of an ended run still has to be woken."""
    if run.singleton is None:
        return False
    singleton = book.singletons.get(run.singleton)
    if singleton is None:
        return True  # nobody looked
    return singleton.holder == run.run_id and singleton.first is not None
