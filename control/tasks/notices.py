"""Cancel notices: how an operation is stopped from any other process.

A notice is kept in the store that processes share, where the operation's own process finds it; a
wake-up makes that quick. Whoever obeyed says so in the same store, before it lets go of its lock.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from envelope.errors import Unavailable
from worker.coordination.shared.redis_shared import RedisShared
from worker.wakeups.redis_wakeups import RedisWakeups

_LOOK_SECONDS = 2.0
_KEPT_SECONDS = 3_600.0


class Notices:
    """The notices as one process sees them; belongs to one event loop.

    Args:
        url: Address of Redis.
        log: A structured logger.
    """

    def __init__(self, url: str, log: Any) -> None:
        self._store = RedisShared(url)
        self._wakeups = RedisWakeups(url, log)

    async def cancel(self, operation: str, reason: str, seconds: float) -> None:
        """Ask whoever executes `operation` to stop.

        Args:
            operation: Its id.
            reason: Why.
            seconds: How long it may still take until it sees the notice.

        Raises:
            QueueUnavailable: Redis is away.
        """
        await self._store.put(_asked(operation), reason, max(seconds, _KEPT_SECONDS))
        self._wakeups.notify(_channel(operation), "cancel")

    async def until_cancelled(self, operation: str) -> str:
        """Return the reason once somebody asks this operation to stop."""
        told = asyncio.Event()
        listening = asyncio.create_task(self._listen(operation, told))
        try:
            while (reason := await self._reason(operation)) is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await told.wait()
                told.clear()
            return reason
        finally:
            listening.cancel()
            await asyncio.wait({listening})

    async def obeyed(self, operation: str) -> None:
        """Say that the operation was stopped because it was asked to."""
        with suppress(Unavailable):  # whoever asked sees the lock go all the same
            await self._store.put(_done(operation), "1", _KEPT_SECONDS)

    async def was_obeyed(self, operation: str) -> bool:
        """Whether it was.

        Raises:
            QueueUnavailable: Redis is away.
        """
        return await self._store.get(_done(operation)) is not None

    async def close(self) -> None:
        """Send what is pending and let go of connections."""
        await self._wakeups.close()
        await self._store.aclose()

    async def _listen(self, operation: str, told: asyncio.Event) -> None:
        async for _ in self._wakeups.listen(_channel(operation)):
            told.set()

    async def _reason(self, operation: str) -> str | None:
        try:
            return await self._store.get(_asked(operation))
        except Unavailable:
            return None  # the next look asks again; a lock that cannot be renewed ends the work


def _channel(operation: str) -> str:
    return f"task:{operation}"


def _asked(operation: str) -> str:
    return f"task-cancel:{operation}"


def _done(operation: str) -> str:
    return f"task-cancelled:{operation}"
