"""Wake-ups within this process."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator


class InProcessWakeups:
    """Notices go to the listeners that this process has on the channel, on any of its loops."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[_Listener]] = defaultdict(set)

    def notify(self, channel: str, notice: str) -> None:
        """Hand a notice to every listener of the channel."""
        for listener in list(self._listeners.get(channel, ())):
            listener.put(notice)

    async def listen(self, channel: str) -> AsyncIterator[str]:
        """Yield notices, the empty one first."""
        listener = _Listener()
        self._listeners[channel].add(listener)
        try:
            yield ""
            while True:
                yield await listener.notices.get()
        finally:
            self._listeners[channel].discard(listener)
            if not self._listeners[channel]:
                del self._listeners[channel]

    async def close(self) -> None:
        """Forget all listeners."""
        self._listeners.clear()


class _Listener:
    def __init__(self) -> None:
        self.notices: asyncio.Queue[str] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()

    def put(self, notice: str) -> None:
        self._loop.call_soon_threadsafe(self.notices.put_nowait, notice)
