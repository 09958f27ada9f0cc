"""Rate limits within this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from envelope.ports.rates import BucketReport, Rate
from worker.coordination.rates.bucket import Bucket, take_together
from worker.coordination.rates.limits import Limits, Sleep
from worker.coordination.rates.turn import Ticket, Turn, seconds_of


class InProcessRates(Limits):
    """Rate limits that count for the callers of this object alone.

    Args:
        clock: Tells the time in seconds.
        sleep: Sleeps for so many seconds of that clock.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, sleep: Sleep = asyncio.sleep
    ) -> None:
        super().__init__(_Buckets(clock), sleep=sleep, clock=clock)


class _Buckets:
    """A ledger in memory."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}

    async def play(self, turn: Turn) -> float:
        now = self._clock()
        for key, rate in turn.rates().items():
            self._meet(now, key, rate)
        for key, want in turn.corrections.items():
            self._buckets[key].correct(now, seconds_of(want.rate, want.amount))
        for ticket in turn.returned:
            self._give_back(now, ticket)
        for key, seconds in turn.pauses.items():
            self._buckets[key].pause(now, seconds)
        for ticket in turn.confirmed:
            ticket.due = self._confirmed(ticket)
        for ticket in turn.asked:
            self._take(now, ticket)
        return now

    async def report(self) -> Sequence[BucketReport]:
        now = self._clock()
        return [bucket.report(now, key) for key, bucket in sorted(self._buckets.items())]

    async def close(self) -> None:
        self._buckets.clear()

    def _meet(self, now: float, key: str, rate: Rate | None) -> None:
        """A bucket begins full; the rate that was named last counts."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = Bucket(now, rate)
            bucket.paid -= bucket.depth
        bucket.rate = rate or bucket.rate

    def _give_back(self, now: float, ticket: Ticket) -> None:
        for want in ticket.wants:
            cost = seconds_of(want.rate, want.amount)
            self._buckets[want.key].give_back(now, cost, ticket.marks[want.key])

    def _confirmed(self, ticket: Ticket) -> float:
        marks = ticket.marks.items()
        return max(self._buckets[key].put_off(ticket.go, mark) for key, mark in marks)

    def _take(self, now: float, ticket: Ticket) -> None:
        shares = [
            (self._buckets[want.key], seconds_of(want.rate, want.amount)) for want in ticket.wants
        ]
        ticket.go, marks = take_together(now, shares)
        ticket.due = ticket.go
        ticket.marks = {want.key: mark for want, mark in zip(ticket.wants, marks, strict=True)}
