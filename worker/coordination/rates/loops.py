"""Rate limits for callers on several event loops of one process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence

from envelope.ports.rates import BucketReport, RateLimits, RateWant, Reservation


class LoopRates:
    """A `RateLimits` that each event loop may use: every loop gets limits of its own.

    Limits belong to one loop. Where Redis keeps the buckets, all loops count together; kept in
    memory, each counts for itself.

    Args:
        make: Makes the limits of one loop.
    """

    def __init__(self, make: Callable[[], RateLimits]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: dict[asyncio.AbstractEventLoop, RateLimits] = {}

    async def reserve(self, wants: Sequence[RateWant]) -> Reservation:
        """Return when all of it is allowed; see `RateLimits.reserve`."""
        return await self._current().reserve(wants)

    def settle(self, reservation: Reservation, used: Mapping[str, float]) -> None:
        """Correct estimates; on the loop that reserved."""
        self._current().settle(reservation, used)

    def pause(self, key: str, seconds: float) -> None:
        """Let nobody in the cluster through `key` for so long."""
        self._current().pause(key, seconds)

    async def report(self) -> Sequence[BucketReport]:
        """Return all buckets that this loop's limits know, by key."""
        return await self._current().report()

    async def close(self) -> None:
        """Close the limits of the running loop; a loop that ends closes its own."""
        with self._lock:
            made = self._made.pop(asyncio.get_running_loop(), None)
        if made is not None:
            await made.close()

    def _current(self) -> RateLimits:
        loop = asyncio.get_running_loop()
        with self._lock:
            if loop not in self._made:
                self._forget_closed_loops()
                self._made[loop] = self._make()
            return self._made[loop]

    def _forget_closed_loops(self) -> None:
        """What a loop left open can be closed by nobody; the collector takes its sockets."""
        self._made = {loop: made for loop, made in self._made.items() if not loop.is_closed()}
