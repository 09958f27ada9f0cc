"""A lock that this process acquired, as far as this process knows."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field

from envelope.ports.locks import LockInfo
from worker.coordination.locks.ask import Answer, Ask

# A lock is renewed this often within its term, and so survives two renewals that failed.
_RENEWALS_PER_TERM = 3


@dataclass(slots=True, eq=False)
class Hold:
    """What is known of it. Times are of the local monotonic clock.

    Attributes:
        ask: The ask that acquired it.
        fence: Its fencing number.
        since: When it was acquired, in microseconds since 1970 by Redis's clock.
        era: Redis's memory that it was last seen in; another one means that Redis was flushed.
        deadline: When Redis may have let it lapse. It is counted from before the renewal was sent,
            and so never after Redis's own deadline.
        tried_at: The last renewal, successful or not.
        ended: Set when it is lost.
    """

    ask: Ask
    fence: int
    since: str
    era: str
    deadline: float
    tried_at: float
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of(cls, ask: Ask, answer: Answer) -> Hold:
        """Return a lock just acquired."""
        deadline = ask.sent_at + ask.request.ttl
        return cls(ask, answer.fence, answer.since, answer.era, deadline, ask.sent_at)

    @property
    def name(self) -> str:
        """The quoted key."""
        return self.ask.name

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self.ask.request.owner

    @property
    def is_lost(self) -> bool:
        """Whether another may have it. Once true it stays true: see `renewed`."""
        return self.ended.is_set() or time.monotonic() >= self.deadline

    def due_at(self, renew_seconds: float) -> float:
        """Return when it is to be renewed next."""
        return self.tried_at + min(renew_seconds, self.ask.request.ttl / _RENEWALS_PER_TERM)

    def renewed(self, sent_at: float, era: str) -> None:
        """Take the news that Redis gave it another term; too late is too late."""
        if not self.is_lost:
            self.deadline = sent_at + self.ask.request.ttl
            self.era = era

    async def lapse(self) -> None:
        """Return when it is lost, or may have lapsed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.deadline - time.monotonic()):
                await self.ended.wait()

    def info(self) -> LockInfo:
        """Return it for people."""
        request = self.ask.request
        return LockInfo(
            key=request.key,
            owner=request.owner,
            fence=self.fence,
            holder=self.ask.holder,
            why=request.why,
            since=int(self.since) / 1e6,
            expires_in=max(0.0, self.deadline - time.monotonic()),
            metadata=dict(request.metadata),
        )
