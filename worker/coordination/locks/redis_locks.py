"""The lock port on Redis."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from envelope.errors import QueueUnavailable
from envelope.ids import new_id
from envelope.ports.locks import DEFAULT_TTL, LockInfo
from worker.coordination.locks.ask import Ask
from worker.coordination.locks.asking import Alone, Asking
from worker.coordination.locks.hold import Hold
from worker.coordination.locks.keys import INDEX, lock_of, quoted, unquoted
from worker.coordination.locks.line import Line
from worker.coordination.locks.renewal import Renewal
from worker.coordination.locks.request import LockRequest, check_name
from worker.coordination.locks.returns import Return, Returns
from worker.coordination.locks.scripts import Scripts, asking_redis
from worker.wakeups.redis_wakeups import RedisWakeups


class RedisLocks:
    """Locks of one process; belongs to the event loop that first uses it.

    A flush loses no lock: Redis gives out nothing for `2 * renew_seconds + 1` after it, and in that
    time the owners' renewals put their locks back. The same holds for a Redis that is used for the
    first time, unless `alone` says otherwise. Processes that share a Redis share `renew_seconds`.

    Args:
        url: Address of Redis. Nothing connects before the first call.
        holder: Who this is, for people: host and process.
        log: A structured logger.
        renew_seconds: How often what is held is renewed, all in one call. A lock is renewed at
            least three times in its term.
        alone: Whether no other process can hold a lock. Asked once, where the very first answer to
            this process is that nothing is given out yet. A process that has used locks before a
            flush waits like everybody else: programs that `alone` does not know of may hold some.

    Example:
        >>> locks = RedisLocks(url, "host:42", log=log)
        >>> info = await locks.acquire("run:u1:t1", owner="run-7", wait=30)
        >>> await locks.release("run:u1:t1", "run-7")
    """

    def __init__(
        self,
        url: str,
        holder: str,
        *,
        log: Any,
        renew_seconds: float = 2.0,
        alone: Alone | None = None,
    ) -> None:
        self._holder = holder
        self._process = new_id()
        self._numbers = count(1)
        grace_ms = round((2 * renew_seconds + 1) * 1_000)
        self._scripts = Scripts(url)
        line = Line(RedisWakeups(url, log), self._process)
        self._asking = Asking(self._scripts, line, grace_ms, alone, log)
        self._returns = Returns(self._scripts, log)
        self._renewal = Renewal(
            self._scripts, self._returns, self._process, renew_seconds, grace_ms, log
        )

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
        ask = Ask(request, f"{self._process}/{next(self._numbers)}", self._holder)
        try:
            answer = await self._asking.answer(ask)
        except BaseException:
            self._withdraw(ask)
            raise
        if not answer.got:
            raise answer.refusal(key)
        hold = Hold.of(ask, answer)
        self._renewal.add(hold)
        return hold.info()

    async def release(self, key: str, owner: str) -> bool:
        """Release by compare-and-delete; see `Locks.release`.

        What this process acquired is released only if no other process has acquired it since for
        the same owner; what it did not acquire, for any process of the owner.
        """
        check_name("key", key)
        check_name("owner", owner)
        hold = self._renewal.remove(quoted(key), owner)
        try:
            by = "" if hold is None else self._process
            return await self._returns.now(Return(quoted(key), owner, by))
        except QueueUnavailable:
            if hold is not None:
                self._returns.later(Return(hold.name, owner, hold.ask.id), hold.deadline)
            raise

    async def check(self, key: str) -> LockInfo | None:
        """Return who has it.

        Raises:
            QueueUnavailable: Redis is away.
        """
        check_name("key", key)
        found = await self._read([quoted(key)])
        return found[0] if found else None

    async def held(self) -> Sequence[LockInfo]:
        """Return every lock, by key.

        Raises:
            QueueUnavailable: Redis is away.
        """
        redis = self._scripts.redis
        async with asking_redis():
            seconds, micros = await redis.time()
            now = seconds * 1_000 + micros // 1_000
            await redis.zremrangebyscore(INDEX, "-inf", f"({now}")
            names = await redis.zrange(INDEX, 0, -1)
        return sorted(await self._read([str(name) for name in names]), key=lambda info: info.key)

    def lost(self, key: str, owner: str) -> bool:
        """Whether a lock that this process acquired was lost since; may be asked by any thread."""
        hold = self._renewal.get(quoted(key), owner)
        return hold is not None and hold.is_lost

    async def until_lost(self, key: str, owner: str) -> None:
        """Return once `lost` is true; never while the lock is held or after it was released."""
        while not self.lost(key, owner):
            hold = self._renewal.get(quoted(key), owner)
            await (hold.lapse() if hold is not None else asyncio.Event().wait())

    async def close(self) -> None:
        """Stop renewing and let go of connections; what is held lapses with its term."""
        await self._asking.close()
        await self._renewal.close()
        await self._returns.close()
        await self._scripts.close()

    def _withdraw(self, ask: Ask) -> None:
        """Leave the queue, and give the lock back if it is acquired all the same.

        What the same owner acquired here before stays its own.
        """
        owner = ask.request.owner
        before = self._renewal.get(ask.name, owner)
        if before is None or before.is_lost:
            given = Return(ask.name, owner, by=ask.id, leaves=ask.id)
            self._returns.later(given, ask.sent_at + ask.request.ttl, after=ask.reply)

    async def _read(self, names: Sequence[str]) -> list[LockInfo]:
        if not names:
            return []
        async with asking_redis(), self._scripts.redis.pipeline(transaction=True) as pipeline:
            for name in names:
                pipeline.hgetall(lock_of(name))
                pipeline.pttl(lock_of(name))
            found = await pipeline.execute()
        locks = zip(names, found[::2], found[1::2], strict=True)
        return [_info(name, lock, ms) for name, lock, ms in locks if lock]


def _info(name: str, lock: Mapping[str, str], milliseconds: int) -> LockInfo:
    return LockInfo(
        key=unquoted(name),
        owner=lock["owner"],
        fence=int(lock["fence"]),
        holder=lock["holder"],
        why=lock["why"],
        since=int(lock["since"]) / 1e6,
        expires_in=max(0, milliseconds) / 1_000,
        metadata=json.loads(lock["metadata"]),
    )
