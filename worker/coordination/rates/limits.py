"""Rate limits as callers see them, whatever keeps the buckets: ask, sleep, confirm, go."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from envelope.errors import QueueUnavailable
from envelope.ports.rates import BucketReport, RateWant, Reservation
from worker.coordination.rates.checking import checked, sensible_pause
from worker.coordination.rates.turn import Ledger, Ticket, Turn

_SOON = 0.001
"""Seconds before its moment at which a caller may go: no timer is finer."""
_CLOSING_SECONDS = 2.0

Sleep = Callable[[float], Awaitable[None]]


class Limits:
    """A `RateLimits` over a ledger. Belongs to the event loop that first uses it.

    What one loop turn asks for, and what comes while a batch is under way, travels in one batch.

    Args:
        ledger: Where the buckets are.
        sleep: Sleeps for so many seconds.
        clock: Measures how long callers waited.
    """

    def __init__(
        self, ledger: Ledger, *, sleep: Sleep, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger = ledger
        self._sleep = sleep
        self._clock = clock
        self._turn = Turn()
        self._playing: asyncio.Task[None] | None = None
        self._under_way: list[Ticket] = []
        self._closed = False

    async def reserve(self, wants: Sequence[RateWant]) -> Reservation:
        """Return when all of it is allowed; see `RateLimits.reserve`.

        Raises:
            InvalidInput: More is wanted at once than a bucket ever holds.
            QueueUnavailable: The limits were closed.
        """
        began = self._clock()
        ticket = Ticket(checked(wants), self._future())
        if wants:
            await self._pass(ticket)
        return Reservation(wants=ticket.wants, waited_seconds=self._clock() - began)

    def settle(self, reservation: Reservation, used: Mapping[str, float]) -> None:
        """Correct estimates by what was really used; nonsense corrects nothing."""
        for want in reservation.wants:
            really = used.get(want.key, want.amount)
            if math.isfinite(really) and really >= 0 and really != want.amount:
                before = self._turn.corrections.get(want.key)
                amount = really - want.amount + (before.amount if before else 0.0)
                self._turn.corrections[want.key] = replace(want, amount=amount)
                self._start()

    def pause(self, key: str, seconds: float) -> None:
        """Let nobody through `key` for so long, an hour at most; nonsense is ignored."""
        sensible = sensible_pause(seconds)
        if sensible:
            self._turn.pauses[key] = max(sensible, self._turn.pauses.get(key, 0.0))
            self._start()

    async def report(self) -> Sequence[BucketReport]:
        """Return all buckets, by key.

        Raises:
            QueueUnavailable: Redis is away.
        """
        return await self._ledger.report()

    async def close(self) -> None:
        """Send what is pending, if that is quick, and let go of connections and callers."""
        self._closed = True
        if self._playing is not None:
            await asyncio.wait({self._playing}, timeout=_CLOSING_SECONDS)
            self._playing.cancel()
            await asyncio.wait({self._playing})
        for ticket in [*self._under_way, *self._turn.asked, *self._turn.confirmed]:
            if not ticket.told.done():
                ticket.told.set_exception(_closed())
        await self._ledger.close()

    async def _pass(self, ticket: Ticket) -> None:
        try:
            wait = await self._told(ticket, self._turn.asked)
            while wait > _SOON:
                await self._sleep(wait)
                ticket.told = self._future()
                wait = await self._told(ticket, self._turn.confirmed)
        except BaseException:
            self._give_back(ticket)
            raise

    async def _told(self, ticket: Ticket, line: list[Ticket]) -> float:
        if self._closed:
            raise _closed()
        line.append(ticket)
        self._start()
        return await ticket.told

    def _give_back(self, ticket: Ticket) -> None:
        """Once: a caller may go away just as `_tell` learns what was taken for it.

        What is not taken yet is given back by `_tell`, when it is known.
        """
        if ticket.marks and not ticket.returned and not self._closed:
            ticket.returned = True
            self._turn.returned.append(ticket)
            self._start()

    def _start(self) -> None:
        if self._playing is None or self._playing.done():
            self._playing = asyncio.ensure_future(self._play())

    async def _play(self) -> None:
        while self._turn:
            turn, self._turn = self._turn, Turn()
            turn.asked = _waiting(turn.asked)
            turn.confirmed = _waiting(turn.confirmed)
            self._under_way = [*turn.confirmed, *turn.asked]
            now = await self._ledger.play(turn)
            self._tell(turn, now)

    def _tell(self, turn: Turn, now: float) -> None:
        self._under_way = []
        for ticket in _waiting(turn.confirmed):
            ticket.told.set_result(ticket.due - now)
        for ticket in turn.asked:
            if ticket.told.done():
                self._give_back(ticket)
            else:
                ticket.told.set_result(ticket.due - now)

    def _future(self) -> asyncio.Future[float]:
        return asyncio.get_running_loop().create_future()


def _waiting(tickets: list[Ticket]) -> list[Ticket]:
    return [ticket for ticket in tickets if not ticket.told.done()]


def _closed() -> QueueUnavailable:
    return QueueUnavailable("The rate limits of this process are closed: it is ending.")
