"""The lock port within one process: for tests, and where there is no Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from envelope.errors import LockHeld
from envelope.ports.locks import DEFAULT_TTL, LockInfo
from worker.coordination.locks.request import LockRequest, check_name

_HOLDER = "this process"
_Waiter = tuple[LockRequest, asyncio.Future[LockInfo]]


class InProcessLocks:
    """Locks of this process only. It renews them by being alive, so that none lapses or is lost.

    Args:
        clock: The present time in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._fence = 0
        self._locks: dict[str, LockInfo] = {}
        self._lines: dict[str, list[_Waiter]] = {}

    async def acquire(
        self,
        key: str,
        *,
        owner: str,
        ttl: float = DEFAULT_TTL,
        wait: float | None = 0.0,
        why: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> LockInfo:
        """Acquire a lock; see `Locks.acquire`."""
        request = LockRequest(
            key=key, owner=owner, ttl=ttl, wait=wait, why=why, metadata=dict(metadata or {})
        )
        if self._may_have(request):
            return self._give(request)
        given = await self._given_in_line(request) if wait != 0 else None
        if given is None:
            raise _refusal(self._locks[key])
        return given

    async def release(self, key: str, owner: str) -> bool:
        """Release by compare-and-delete; the next waiter has the lock at once."""
        check_name("key", key)
        check_name("owner", owner)
        present = self._locks.get(key)
        if present is None or present.owner != owner:
            return False
        self._free(key)
        return True

    async def check(self, key: str) -> LockInfo | None:
        """Return who has it."""
        check_name("key", key)
        return self._locks.get(key)

    async def held(self) -> Sequence[LockInfo]:
        """Return every lock, by key."""
        return [self._locks[key] for key in sorted(self._locks)]

    def lost(self, key: str, owner: str) -> bool:  # noqa: ARG002 - the port's
        """Return False: no lock is lost while its process lives."""
        return False

    async def until_lost(self, key: str, owner: str) -> None:  # noqa: ARG002 - the port's
        """Never return, as no lock is lost."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Forget all locks."""
        self._locks.clear()

    def _may_have(self, request: LockRequest) -> bool:
        present = self._locks.get(request.key)
        return present is None or present.owner == request.owner

    def _give(self, request: LockRequest) -> LockInfo:
        now = self._clock()
        present = self._locks.get(request.key)
        self._fence = max(self._fence + 1, int(now * 1e6))
        info = LockInfo(
            key=request.key,
            owner=request.owner,
            fence=self._fence,
            holder=_HOLDER,
            why=request.why,
            since=now if present is None else present.since,
            expires_in=request.ttl,
            metadata=request.metadata,
        )
        self._locks[request.key] = info
        return info

    def _free(self, key: str) -> None:
        """Hand the lock to the first in line, and to whoever else asks for the same owner."""
        del self._locks[key]
        for request, given in self._lines.get(key, ()):
            if not given.done() and self._may_have(request):
                given.set_result(self._give(request))

    async def _given_in_line(self, request: LockRequest) -> LockInfo | None:
        given: asyncio.Future[LockInfo] = asyncio.get_running_loop().create_future()
        line = self._lines.setdefault(request.key, [])
        waiter = (request, given)
        line.append(waiter)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(request.wait):
                    await asyncio.wait({given})
            return given.result() if given.done() else None
        except asyncio.CancelledError:
            self._take_back(given)
            raise
        finally:
            given.cancel()
            line.remove(waiter)
            if not line:
                self._lines.pop(request.key, None)

    def _take_back(self, given: asyncio.Future[LockInfo]) -> None:
        """Nobody else would release what a caller got in the moment of being cancelled."""
        if given.done() and self._locks.get(given.result().key) is given.result():
            self._free(given.result().key)


def _refusal(present: LockInfo) -> LockHeld:
    since = datetime.fromtimestamp(present.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    why = f" ({present.why})" if present.why else ""
    return LockHeld(
        f"Lock {present.key!r} is held by {present.holder} since {since}{why}. "
        "Try again later, or wait longer for it."
    )
