"""A part of the cluster that is asked for its figures: seldom, and never for long."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


class Part(Generic[T]):
    """What a part answered last.

    One question is under way at a time, in a thread of its own: a part that hangs costs one thread,
    and a scrape the deadline.

    Args:
        ask: Asks; it blocks, and may raise anything.
        fresh_seconds: For so long an answer is not asked for again.
    """

    def __init__(self, ask: Callable[[], T], fresh_seconds: float) -> None:
        self._ask = ask
        self._fresh = fresh_seconds
        self._lock = Lock()
        self._asked: Future[T] | None = None
        self._answered_at = 0.0

    def begin(self) -> None:
        """Ask, unless the last answer is fresh or still to come."""
        self._current()

    def answer(self, deadline: float) -> T | None:
        """Return what the part says; None where it fails, or does not answer by the deadline.

        Args:
            deadline: By the monotonic clock.
        """
        asked = self._current()
        try:
            return asked.result(max(0.0, deadline - time.monotonic()))
        except Exception:  # noqa: BLE001 - whatever is wrong with it, the part is away
            return None

    def _current(self) -> Future[T]:
        with self._lock:
            asked = self._asked
            if asked is None or (asked.done() and self._is_stale()):
                asked = self._asked = Future()
                Thread(target=self._run, args=(asked,), name="muster-scrape", daemon=True).start()
            return asked

    def _is_stale(self) -> bool:
        return time.monotonic() - self._answered_at >= self._fresh

    def _run(self, asked: Future[T]) -> None:
        try:
            answer = self._ask()
        except Exception as error:  # noqa: BLE001 - handed on to who asked
            self._answered_at = time.monotonic()
            asked.set_exception(error)
        else:
            self._answered_at = time.monotonic()
            asked.set_result(answer)
