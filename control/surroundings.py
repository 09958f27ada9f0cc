"""What can be asked about runs besides their own rows. Redis being away is an answer, no error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

from envelope.errors import Unavailable
from envelope.ports.journal import Journal
from envelope.ports.locks import LockInfo, Locks
from envelope.ports.permits import AgentPermits, Permits
from envelope.ports.queue import Queue
from envelope.ports.rates import BucketReport, RateLimits
from worker.backend import Backend

T = TypeVar("T")

_PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Journal and coordination. The answers about Redis are None while it is away.

    Attributes:
        queue, permits, rates, locks: None where there is no Redis to be asked.
    """

    journal: Journal
    queue: Queue | None = None
    permits: Permits | None = None
    rates: RateLimits | None = None
    locks: Locks | None = None

    @classmethod
    def of(cls, backend: Backend) -> Self:
        """Return those of a backend."""
        return cls(
            journal=backend.journal,
            queue=backend.queue,
            permits=backend.permits,
            rates=backend.rates,
            locks=backend.locks,
        )

    async def depth(self, topic: str) -> int | None:
        """Return how many messages wait in a topic."""
        depths = await _answer(self.queue.depth([topic]) if self.queue else None)
        return None if depths is None else depths.get(topic, 0)

    async def agents(self) -> Sequence[AgentPermits] | None:
        """Return who holds and who waits for permits."""
        return await _answer(self.permits.report() if self.permits else None)

    async def buckets(self) -> Sequence[BucketReport] | None:
        """Return the rate limits' buckets."""
        return await _answer(self.rates.report() if self.rates else None)

    async def held_locks(self) -> Sequence[LockInfo] | None:
        """Return the locks that are held."""
        return await _answer(self.locks.held() if self.locks else None)


async def _answer(answer: Awaitable[T] | None) -> T | None:
    if answer is None:
        return None
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return await answer
    except (Unavailable, TimeoutError):
        return None
