"""Answers by key: in this process's memory, and in the store that processes share.

Of all that ask for a missing answer at once, one makes it: in this process the others wait for its
future, in other processes for a mark in the shared store to go.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, cast

from envelope.errors import Unavailable
from envelope.lru import MISSING, LruCache
from envelope.ports.shared import SharedStore

_FIRST_LOOK_SECONDS: Final = 0.02
_LONGEST_LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class _Flight:
    """An answer that a caller of this process is making."""

    token: str
    landed: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Answers:
    """What is kept, and what is being made.

    Args:
        max_size: How many answers this process keeps.
        ttl: Seconds that an answer is kept, here and in the shared store.
        patience: Seconds to wait for somebody else's answer before making it oneself.

    Raises:
        InvalidInput: A limit is out of range.
    """

    def __init__(self, max_size: int, ttl: float, patience: float) -> None:
        self._kept: LruCache[str] = LruCache(max_size, ttl)
        self.stats = self._kept.stats
        self._ttl = ttl
        self._patience = patience
        self._flights: dict[Any, _Flight] = {}

    async def look(self, store: SharedStore | None, key: str, token: str) -> str | None:
        """Return the answer; None where the caller is to make it, and to `land` in the end.

        Args:
            store: What processes share; None where they share nothing.
            key: Whose answer.
            token: Names the caller.
        """
        kept = self._kept.get(key)
        if kept is not MISSING:
            self.stats.hits += 1
            return cast("str", kept)
        if await self._joined(key):
            self.stats.joined += 1
            return cast("str", self._kept.get(key))
        self._flights.setdefault(_here(key), _Flight(token))
        found = await self._shared(store, key, token) if store else None
        if found is None:
            self.stats.misses += 1
            return None
        self.stats.shared_hits += 1
        self._kept.put(key, found)
        return found

    async def keep(self, store: SharedStore | None, key: str, token: str, answer: str) -> None:
        """Keep an answer for everybody."""
        self._kept.put(key, answer)
        if store is not None:
            with suppress(Unavailable):  # this process has it
                await store.put(key, answer, self._ttl)
        await self.give_up(store, key, token)

    async def give_up(self, store: SharedStore | None, key: str, token: str) -> None:
        """Let another one make the answer."""
        if store is not None:
            with suppress(Unavailable):  # the mark goes by its time
                await store.discard(_mark(key), token)

    def land(self, key: str, token: str) -> None:
        """Wake those of this process who wait for this caller, whatever became of its answer."""
        flight = self._flights.get(_here(key))
        if flight is not None and flight.token == token:
            del self._flights[_here(key)]
            flight.landed.set_result(None)

    def clear(self) -> None:
        """Forget what this process keeps."""
        self._kept.clear()

    async def _joined(self, key: str) -> bool:
        """Wait for callers of this process; return whether one has made the answer."""
        deadline = time.monotonic() + self._patience
        while (flight := self._flights.get(_here(key))) is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            await asyncio.wait({flight.landed}, timeout=left)
            if self._kept.get(key) is not MISSING:
                return True
        return False

    async def _shared(self, store: SharedStore, key: str, token: str) -> str | None:
        """Wait for callers of other processes; None where nobody else is making the answer."""
        deadline, pause = time.monotonic() + self._patience, _FIRST_LOOK_SECONDS
        try:
            while (found := await store.get(key)) is None:
                if await store.add(_mark(key), token, self._patience):
                    return await store.get(key)  # it may have come just before the mark went
                if time.monotonic() >= deadline:
                    return None
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_LOOK_SECONDS)
        except Unavailable:
            return None
        return found


def _here(key: str) -> tuple[asyncio.AbstractEventLoop, str]:
    """Futures belong to a loop, and so do those who wait for them."""
    return asyncio.get_running_loop(), key


def _mark(key: str) -> str:
    return f"{key}:making"
