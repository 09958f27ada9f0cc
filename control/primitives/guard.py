"""Cancels the body of an `async with` block whose lock is lost, as `asyncio.timeout` does."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

from control.primitives.held import HeldLock


class BodyGuard:
    """Watches from `watch` until `leave`. Belongs to the task that creates it."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A lock must be held by a task.")
        self._task: asyncio.Task[object] = task
        self._cancelling = task.cancelling()
        self._loop = asyncio.get_running_loop()
        self._struck = False
        self._left = False
        self._lost: Future[None] = Future()

    def watch(self, held: HeldLock) -> None:
        """Cancel the task as soon as the lock is lost."""
        self._lost = held.shared.submit(held.shared.locks.until_lost(held.key, held.owner))
        self._lost.add_done_callback(self._tell)

    def leave(self, kind: type[BaseException] | None) -> bool:
        """Stop watching; whether `kind` is the cancellation that came from here alone."""
        self._left = True
        self._lost.cancel()
        if not self._struck:
            return False
        others = self._task.uncancel() > self._cancelling
        return not others and kind is not None and issubclass(kind, asyncio.CancelledError)

    def _tell(self, lost: Future[None]) -> None:
        if not lost.cancelled() and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._strike)

    def _strike(self) -> None:
        if not self._left:
            self._struck = True
            self._task.cancel()
