"""How many runs this process holds at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

_RESUME_BELOW = 0.9


class Admission:
    """Admits runs up to a limit; tells the intake when it is reached and when there is room again.

    Runs beyond the limit, which had been fetched already, wait here for their turn, unclaimed.

    Args:
        limit: Runs held at once.
        on_full: Called when the limit is reached: fetch no more.
        on_room: Called when a tenth is free again.
    """

    def __init__(
        self, limit: int, on_full: Callable[[], None], on_room: Callable[[], None]
    ) -> None:
        self._limit = limit
        self._free = asyncio.Semaphore(limit)
        self._on_full = on_full
        self._on_room = on_room
        self._wanted = 0
        self._full = False

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold one of the places; waits where none is free."""
        self._wanted += 1
        if self._wanted >= self._limit and not self._full:
            self._full = True
            self._on_full()
        try:
            async with self._free:
                yield
        finally:
            self._wanted -= 1
            if self._full and self._wanted < self._limit * _RESUME_BELOW:
                self._full = False
                self._on_room()
