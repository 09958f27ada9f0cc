"""The asks of this process that stand in line: when each of them looks again.

A release tells the process of whoever is next. Notices may be lost, owners and waiters may die:
everybody looks again about once a second, all of this process in one call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from worker.coordination.locks.keys import LISTENING
from worker.wakeups.redis_wakeups import RedisWakeups

LOOK_SECONDS = 0.8


class Line:
    """Rings for asks that should look.

    Args:
        wakeups: Brings the notices.
        process: This process's id, with which the ids of its asks begin.
    """

    def __init__(self, wakeups: RedisWakeups, process: str) -> None:
        self._wakeups = wakeups
        self._process = process
        self._bells: dict[str, asyncio.Event] = {}
        self._listening: asyncio.Task[None] | None = None
        self._ticking: asyncio.Task[None] | None = None

    @contextmanager
    def standing(self, ask_id: str) -> Iterator[asyncio.Event]:
        """Stand in line; the event is set whenever the ask should look, once `watch` is called."""
        bell = self._bells[ask_id] = asyncio.Event()
        try:
            yield bell
        finally:
            del self._bells[ask_id]

    def watch(self) -> None:
        """Ring from now on: somebody really has to wait."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.create_task(self._tick())

    async def close(self) -> None:
        """Ring for the last time."""
        self._ring_all()
        await self._wakeups.close()  # first: it does not end while listeners are leaving
        tasks = {task for task in (self._listening, self._ticking) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _listen(self) -> None:
        async for ask_id in self._wakeups.listen(LISTENING + self._process):
            if not ask_id:
                self._ring_all()  # notices may have been missed
            elif ask_id in self._bells:
                self._bells[ask_id].set()

    async def _tick(self) -> None:
        while self._bells:
            await asyncio.sleep(LOOK_SECONDS)
            self._ring_all()

    def _ring_all(self) -> None:
        for bell in self._bells.values():
            bell.set()
