"""A clock that only moves when somebody waits."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_TURNS: Final = 20
"""Turns of the loop in which whoever woke last may go to sleep again before the next one wakes."""


class FakeClock:
    """Time for tests: `sleep` takes no real time and moves `now`.

    Those who sleep at once wake in the order in which their waits end, each at its moment. Work in
    threads is not waited for.

    Args:
        start: The first moment, aware; by default the start of 2026 in UTC.

    Attributes:
        sleeps: The waits so far, in seconds.

    Example:
        >>> clock = FakeClock()
        >>> asyncio.run(run_inline("patient", {}, sleep=clock.sleep))
        >>> clock.sleeps
        [3600.0]
    """

    def __init__(self, start: datetime = _START) -> None:
        self.sleeps: list[float] = []
        self._now = start
        self._waiting: list[tuple[datetime, int]] = []
        self._count = count()

    def now(self) -> datetime:
        """Return the present moment of this clock."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has moved so far, which it does once all who wake earlier did."""
        self.sleeps.append(seconds)
        place = (self._now + timedelta(seconds=seconds), next(self._count))
        heapq.heappush(self._waiting, place)
        try:
            await self._turn(place)
            self._now = max(self._now, place[0])
        finally:
            self._waiting.remove(place)
            heapq.heapify(self._waiting)

    async def _turn(self, place: tuple[datetime, int]) -> None:
        first = 0
        while first < _TURNS:
            await asyncio.sleep(0)
            first = first + 1 if self._waiting[0] == place else 0
