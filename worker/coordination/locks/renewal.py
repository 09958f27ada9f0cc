"""Renews all locks that a process holds, in one call; finds out which of them were lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from envelope.errors import QueueUnavailable
from worker.coordination.locks.hold import Hold
from worker.coordination.locks.keys import ERA, FENCE, INDEX, lock_of
from worker.coordination.locks.returns import Return, Returns
from worker.coordination.locks.scripts import Scripts

_RENEWED = 1
_LOST = {0: "it lapsed", -1: "another has it"}


class Renewal:
    """The locks held here, renewed in the background as long as there are any.

    Args:
        scripts: The scripts on Redis.
        returns: Takes a lock that came back into Redis after its release.
        process: This process's id, with which the ids of its asks begin.
        renew_seconds: How often; a lock with a short term is renewed more often.
        grace_ms: How long a new era gives nothing out, in milliseconds.
        log: A structured logger.
    """

    def __init__(
        self,
        scripts: Scripts,
        returns: Returns,
        process: str,
        renew_seconds: float,
        grace_ms: int,
        log: Any,
    ) -> None:
        self._scripts = scripts
        self._returns = returns
        self._process = process
        self._renew_seconds = renew_seconds
        self._grace_ms = grace_ms
        self._log = log
        self._holds: dict[tuple[str, str], Hold] = {}
        self._changed = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None

    def get(self, name: str, owner: str) -> Hold | None:
        """Return a lock that was acquired here and not released, lost or not."""
        return self._holds.get((name, owner))

    def add(self, hold: Hold) -> None:
        """Renew a lock from now on; whoever watched it for the same owner goes on watching."""
        before = self.get(hold.name, hold.owner)
        if before is not None and not before.is_lost:
            hold.ended = before.ended
        self._holds[hold.name, hold.owner] = hold
        self._changed.set()
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew_for_ever())

    def remove(self, name: str, owner: str) -> Hold | None:
        """Renew it no more; returns it if it was acquired here."""
        self._changed.set()
        return self._holds.pop((name, owner), None)

    async def close(self) -> None:
        """Renew nothing more."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait({self._renewing})

    async def renew(self) -> None:
        """Renew everything once. While Redis is away locks stay held until their term is over."""
        holds = self._living()
        sent_at = time.monotonic()
        for hold in holds:
            hold.tried_at = sent_at
        if not holds:
            return
        try:
            await self._renew(holds, sent_at)
        except QueueUnavailable as error:
            self._log.warning("locks.away", locks=len(holds), error=str(error))

    async def _renew_for_ever(self) -> None:
        while living := self._living():
            self._changed.clear()
            pause = min(hold.due_at(self._renew_seconds) for hold in living) - time.monotonic()
            if pause > 0 and await _happens(self._changed, pause):
                continue
            await self.renew()

    def _living(self) -> list[Hold]:
        for hold in self._holds.values():
            if hold.is_lost and not hold.ended.is_set():
                self._lose(hold, "its term passed without a renewal")
        return [hold for hold in self._holds.values() if not hold.is_lost]

    async def _renew(self, holds: Sequence[Hold], sent_at: float) -> None:
        keys = [INDEX, ERA, *(lock_of(hold.name) for hold in holds)]
        told = [
            part
            for hold in holds
            for part in (hold.name, hold.owner, round(hold.ask.request.ttl * 1_000))
        ]
        era, *results = await self._scripts.run("renew", keys, self._grace_ms, self._process, *told)
        flushed = []
        for hold, result in zip(holds, results, strict=True):
            if result == _RENEWED:
                hold.renewed(sent_at, era)
            elif hold.era != era:
                flushed.append(hold)
            else:
                self._lose(hold, _LOST[result])
        if flushed:
            await self._restore(flushed, sent_at)

    async def _restore(self, holds: Sequence[Hold], sent_at: float) -> None:
        """Put back what a flush took away; what was released meanwhile goes again."""
        keys = [INDEX, ERA, FENCE, *(lock_of(hold.name) for hold in holds)]
        told = [
            part for hold in holds for part in (*hold.ask.lock_fields(), hold.fence, hold.since)
        ]
        era, *results = await self._scripts.run("restore", keys, self._grace_ms, *told)
        for hold, result in zip(holds, results, strict=True):
            if result != _RENEWED:
                self._lose(hold, "Redis was flushed, and another has it or may have had it")
            elif self._has(hold):
                hold.renewed(sent_at, era)
            else:
                self._returns.later(Return(hold.name, hold.owner, by=hold.ask.id), hold.deadline)
        self._log.warning("locks.restored", locks=results.count(_RENEWED), of=len(holds))

    def _has(self, hold: Hold) -> bool:
        return self._holds.get((hold.name, hold.owner)) is hold

    def _lose(self, hold: Hold, why: str) -> None:
        hold.ended.set()
        self._changed.set()
        if self._has(hold):
            self._log.warning("locks.lost", key=hold.ask.request.key, fence=hold.fence, why=why)


async def _happens(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
