"""Whether this process still holds its lease, by its own clock."""

from __future__ import annotations

import asyncio
import time


class Hold:
    """Lets nothing new begin while the lease may have lapsed.

    A process that was paused or cut off does not know it by itself: its work may be somebody
    else's by now. It must beat once, and drop what it lost, before it begins anything.

    Attributes:
        lapses: How often the lease was renewed too late.
    """

    def __init__(self, lease_seconds: float) -> None:
        self.lapses = 0
        self._lease = lease_seconds
        self._until: float | None = None
        self._renewal = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether the lease was not renewed in time."""
        return self._until is not None and time.monotonic() >= self._until

    def renewed(self, since: float, *, lapsed: bool) -> None:
        """The journal has renewed the lease; the beat began at `since`."""
        if lapsed or self.over:
            self.lapses += 1
        self._until = since + self._lease
        self._renewal.set()
        self._renewal = asyncio.Event()

    async def assured(self) -> None:
        """Return at once while the lease holds, else after the beat that renews it."""
        while self.over:
            await self._renewal.wait()
