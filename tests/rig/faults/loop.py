"""An event loop in a thread: the rig's servers live there, beside synchronous tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

_SECONDS = 10.0


class LoopThread:
    """Runs coroutines for synchronous code."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_SECONDS)

    def pause(self, seconds: float) -> None:
        """Let the loop do nothing at all for so long, as SIGSTOP would."""
        self._loop.call_soon_threadsafe(time.sleep, seconds)

    def close(self) -> None:
        """Cancel what still runs, then end."""
        self.call(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
