"""Waits for news of a run: wake-ups are fast but may be lost, so it also looks by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from control.endings import Endings
from control.event_pages import EventPages
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

    All listeners share one connection, those of one run one listener. Between notices each looks
    every so often, the more seldom the more there are, which bounds the load on the journal.

    Attributes:
        wakeups: What they listen to.
        endings: Those who wait for a run's end alone.
        pages: What they read.
    """

    def __init__(self, wakeups: Wakeups, journal: Journal) -> None:
        self.wakeups = wakeups
        self.endings = Endings(journal, wakeups)
        self.pages = EventPages(journal)
        self._audiences: dict[str, _Audience] = {}
        self._waiting = 0

    @property
    def look_seconds(self) -> float:
        """How long to wait before looking without a notice."""
        return max(_LOOK_SECONDS, _LOOK_SECONDS_PER_WAITER * self._waiting)

    @asynccontextmanager
    async def news(self, run_id: str) -> AsyncIterator[News]:
        """Listen for news of a run for as long as the block lasts."""
        news = News(self)
        audience = self._audiences.get(run_id)
        if audience is None:
            audience = self._audiences[run_id] = _Audience(self.wakeups, run_id)
        audience.news.add(news)
        self._waiting += 1
        try:
            yield news
        finally:
            self._waiting -= 1
            audience.news.discard(news)
            if not audience.news:
                del self._audiences[run_id]
                await audience.leave()


class _Audience:
    """The followers of one run, and the task that tells them. Whoever comes reads first anyway."""

    def __init__(self, wakeups: Wakeups, run_id: str) -> None:
        self.news: set[News] = set()
        self._notices = wakeups.listen(run_id)
        self._listening = asyncio.create_task(self._listen())

    async def leave(self) -> None:
        """Listen no longer."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)

    async def _listen(self) -> None:
        try:
            async for _ in self._notices:
                for news in self.news:
                    news.tell()
        finally:
            close = getattr(self._notices, "aclose", None)
            if close is not None:
                await close()
