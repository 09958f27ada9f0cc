"""Group commit: one thread writes all that the runs of this process have to commit, in batches.

While a batch is being written the next one gathers, so the more is going on, the more operations
share the price of one commit; alone, an operation is written at once.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Condition, Thread
from typing import Any

import structlog

from envelope.errors import Fenced, JournalUnavailable
from worker.journal.apply import Outcome, Work
from worker.journal.store import InDoubt, Store
from worker.journal.trouble import is_away, is_race
from worker.journal.watch import BatchWatch, Unwatched

BATCH_LIMIT = 500
"""Operations in one transaction: enough to make the commit cheap, few enough to stay quick."""

_RACES = 5
"""How often a batch is decided anew because another process entered a row first."""

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class Item:
    """An operation, where it came from, and who waits for it: nobody, where it was submitted.

    Attributes:
        then: Called by the loop once a submitted operation is written.
    """

    work: Work
    place: Any = None
    loop: asyncio.AbstractEventLoop | None = None
    future: asyncio.Future[Any] | None = None
    then: Callable[[], None] | None = None


@dataclass(slots=True, eq=False)
class Batch:
    """Items that are written together. `doubt` is a commit of theirs whose fate is not known."""

    items: list[Item]
    doubt: InDoubt | None = None


class Writer:
    """The writing thread of a journal.

    What is awaited fails when the database stays away for longer than `patience`. What was
    submitted is kept and written before anything later, so that no later commit overtakes it.

    Args:
        store: Writes a batch in one transaction.
        away: Makes the error for a database that does not answer.
        refused: Makes the error for what the database will not store.
        patience: Seconds for which a batch is tried again while the database is away.
        watch: Sees what is written and how long it took.
    """

    def __init__(
        self,
        store: Store,
        away: Callable[[Exception], Exception],
        refused: Callable[[Exception], Exception],
        patience: float,
        watch: BatchWatch | None = None,
    ) -> None:
        self._store = store
        self._watch = watch or Unwatched()
        self._away = away
        self._refused = refused
        self._patience = patience
        self._pending: deque[Item] = deque()
        self._backlog: deque[Batch] = deque()
        self._wake = Condition()
        self._turns: set[asyncio.AbstractEventLoop] = set()
        self._closing = False
        self._pid = os.getpid()
        self._thread = Thread(target=self._run, name="muster-journal-write", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    async def perform(self, work: Work) -> Any:
        """Write with the next batch and return the operation's value."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._put(Item(work, self._watch.here(), loop, future))
        return await future

    def submit(self, work: Work, then: Callable[[], None] | None = None) -> None:
        """Write with the next batch, without waiting for it; have `then` called after that."""
        self._put(Item(work, self._watch.here(), _running_loop(), then=then))

    def close(self) -> None:
        """Write what is pending, then end the thread. Blocks."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _put(self, item: Item) -> None:
        if os.getpid() != self._pid:
            raise JournalUnavailable(
                "This journal was opened before the process forked, and its connection belongs to "
                "the parent. Open a journal of its own in every process."
            )
        with self._wake:
            if self._closing:
                raise JournalUnavailable("The journal is closed. Open it before use.")
            self._pending.append(item)
            if item.loop is None:
                self._wake.notify()
            elif item.loop not in self._turns:
                self._turns.add(item.loop)
                item.loop.call_soon(self._turn_over, item.loop)

    def _turn_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the writer begin with all that a turn of the loop gave, not with its first item.

        Woken at once, the writer would take what a few runs had given by then.
        """
        with self._wake:
            self._turns.discard(loop)
            self._wake.notify()

    def _run(self) -> None:
        while items := self._take():
            self._backlog.append(Batch(items))
            self._write_backlog()
        if self._backlog:
            self._write_backlog()
        if self._backlog:
            lost = sum(len(batch.items) for batch in self._backlog)
            log.error("journal.submitted_writes_lost", count=lost)

    def _take(self) -> list[Item]:
        """Wait for work and return it, oldest first; nothing when the journal closes."""
        with self._wake:
            self._wake.wait_for(lambda: self._pending or self._closing)
            count = min(len(self._pending), BATCH_LIMIT)
            return [self._pending.popleft() for _ in range(count)]

    def _write_backlog(self) -> None:
        deadline = time.monotonic() + self._patience
        while self._backlog:
            try:
                self._write_first(deadline)
            except Exception as error:  # noqa: BLE001 - a waiter that is never told hangs its run
                self._give_up(error)
                return

    def _write_first(self, deadline: float) -> None:
        """Write the oldest batch, or put its items in its place, each to be written alone."""
        batch, begun = self._backlog[0], time.monotonic()
        try:
            outcomes = self._transact(batch, deadline)
        except Exception as error:
            if is_away(error):
                raise
            self._backlog.popleft()
            if len(batch.items) == 1:
                _resolve(batch, [Outcome(error=self._refused(error))])
            else:
                self._backlog.extendleft(Batch([item]) for item in reversed(batch.items))
        else:
            self._backlog.popleft()
            _resolve(batch, outcomes)
            places = [item.place for item in batch.items]
            errors = [outcome.error for outcome in outcomes]
            self._watch.written(places, time.monotonic() - begun, errors)

    def _transact(self, batch: Batch, deadline: float) -> Sequence[Outcome]:
        """Write a batch in one transaction, again and again while the database is away."""
        pause, races = _FIRST_PAUSE, 0
        while True:
            try:
                return self._attempt(batch)
            except InDoubt as doubt:
                batch.doubt = doubt
                continue
            except Exception as error:
                races += is_race(error)
                if not (is_away(error) or (is_race(error) and races <= _RACES)):
                    raise
                if time.monotonic() >= deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _attempt(self, batch: Batch) -> Sequence[Outcome]:
        if batch.doubt is not None:
            if self._store.committed(batch.doubt):
                return batch.doubt.outcomes
            batch.doubt = None
        return self._store.write([item.work for item in batch.items])

    def _give_up(self, error: Exception) -> None:
        """Tell all who wait; keep what nobody waits for, in order, until the database is back."""
        kept: deque[Batch] = deque()
        for batch in self._backlog:
            _resolve(batch, [Outcome(error=self._away(error)) for _ in batch.items])
            batch.items = [item for item in batch.items if item.future is None]
            if batch.items:
                kept.append(batch)
        self._backlog = kept


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _resolve(batch: Batch, outcomes: Iterable[Outcome]) -> None:
    """Tell everybody in their own event loop, with one call per loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Callable[[], None]]] = defaultdict(list)
    for item, outcome in zip(batch.items, outcomes, strict=True):
        if item.loop is not None and item.future is not None:
            by_loop[item.loop].append(partial(_answer, item.future, outcome))
        elif outcome.error is not None:
            _report(outcome.error)
        elif item.loop is not None and item.then is not None:
            by_loop[item.loop].append(item.then)
    for loop, calls in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_call, calls)


def _call(calls: Iterable[Callable[[], None]]) -> None:
    for call in calls:
        call()


def _report(error: BaseException) -> None:
    """Log what nobody waits for. That another process owns the run by now is no trouble."""
    level = log.debug if isinstance(error, Fenced | JournalUnavailable) else log.error
    level("journal.submitted_write_refused", error=str(error))


def _answer(future: asyncio.Future[Any], outcome: Outcome) -> None:
    if future.done():
        return  # cancelled by its waiter
    if outcome.error is not None:
        future.set_exception(outcome.error)
    else:
        future.set_result(outcome.value)
