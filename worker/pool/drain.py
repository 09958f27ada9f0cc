"""Tells the application, on its loop, that this worker process is about to stop."""

import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from celery.signals import worker_shutting_down

from worker.pool.process_loop import process_loop

logger = logging.getLogger(__name__)

DrainCallback = Callable[[str], Coroutine[Any, Any, None]]


class Drain:
    """Announces a shutdown once, before Celery waits for running tasks.

    Celery's soft shutdown only sleeps. What runs long listens here, stops at its next safe point,
    puts its work back and returns; the worker then has nothing left to wait for.

    The announcement is made in the process that consumes. Under prefork that is not the one that
    runs task bodies: there a warm shutdown waits for them, and a cold one ends them.
    """

    def __init__(self) -> None:
        self._callbacks: list[DrainCallback] = []
        self._announced = threading.Event()
        worker_shutting_down.connect(self._on_signal)

    @property
    def announced(self) -> bool:
        """Whether this process is shutting down."""
        return self._announced.is_set()

    def on_drain(self, callback: DrainCallback) -> DrainCallback:
        """Has `callback(how)` awaited on `process_loop()` at shutdown; `how` is Warm or Cold.

        Usable as a decorator. A callback that fails is logged and holds up nothing.
        """
        self._callbacks.append(callback)
        return callback

    def announce(self, how: str) -> None:
        """Starts the callbacks, at the first call only. Safe in a signal handler."""
        if self._announced.is_set():
            return
        self._announced.set()
        for callback in self._callbacks:
            loop = process_loop()
            loop.call_soon_threadsafe(loop.create_task, _logged(callback, how))

    def _on_signal(self, *, how: str, **_: Any) -> None:
        self.announce(how)


async def _logged(callback: DrainCallback, how: str) -> None:
    try:
        await callback(how)
    except Exception:
        logger.exception("A drain callback failed")
