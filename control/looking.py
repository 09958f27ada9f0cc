"""Waits for news of a run: wake-ups are fast but may be lost, so it also looks by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from control.endings import Endings
from envelope.ports.journal import Journal
from envelope.ports.wakeup import Wakeups

_LOOK_SECONDS = 0.5
_LOOK_SECONDS_PER_WAITER = 0.005


class News:
    """Set at each notice; `wait` also returns when it is time to look anyway."""

    def __init__(self, lookout: Lookout) -> None:
        self._lookout = lookout
        self._event = asyncio.Event()

    def tell(self) -> None:
        """Note that there may be something new."""
        self._event.set()

    async def wait(self, seconds: float | None = None) -> bool:
        """Return at the next notice, after `seconds`, or when it is time to look.

        Returns:
            Whether it was a notice.
        """
        look = self._lookout.look_seconds
        try:
            async with asyncio.timeout(look if seconds is None else max(0.0, min(seconds, look))):
                await self._event.wait()
        except TimeoutError:
            return False  # time to look
        self._event.clear()
        return True


class Lookout:
    """Everybody in this process who waits for a run.

    All listeners share one connection. Between notices each looks every so often, the more seldom
    the more there are, which bounds the load on the journal.

    Attributes:
        wakeups: What they listen to.
        endings: Those who wait for a run's end alone.
    """

    def __init__(self, wakeups: Wakeups, journal: Journal) -> None:
        self.wakeups = wakeups
        self.endings = Endings(journal, wakeups)
        self._waiting = 0

    @property
    def look_seconds(self) -> float:
        """How long to wait before looking without a notice."""
        return max(_LOOK_SECONDS, _LOOK_SECONDS_PER_WAITER * self._waiting)

    @asynccontextmanager
    async def news(self, run_id: str) -> AsyncIterator[News]:
        """Listen for news of a run for as long as the block lasts."""
        news = News(self)
        self._waiting += 1
        task = asyncio.create_task(self._listen(run_id, news))
        try:
            yield news
        finally:
            self._waiting -= 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _listen(self, run_id: str, news: News) -> None:
        notices = self.wakeups.listen(run_id)
        try:
            async for _ in notices:
                news.tell()
        finally:
            close = getattr(notices, "aclose", None)
            if close is not None:
                await close()
