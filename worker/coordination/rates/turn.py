"""What the callers of one loop turn want of the buckets: it travels together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from envelope.ports.rates import BucketReport, Rate, RateWant


def seconds_of(rate: Rate, amount: float) -> float:
    """Return how long `amount` takes to flow in."""
    return amount * rate.seconds / rate.amount


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a caller's share ends in a bucket: to find out later whether anybody is behind it.

    Attributes:
        end: The bucket's `paid` right after the share was taken, less its `moved`.
        lift: What will overflow until its caller goes: comes back with the share.
        shift: The bucket's `shift` at that time.
    """

    end: float
    lift: float
    shift: float


@dataclass(slots=True, eq=False)
class Ticket:
    """A caller's place: taken once, then confirmed after each sleep.

    Attributes:
        wants: What it wants, of different buckets.
        told: Gets the seconds to wait, 0 for go.
        go: When it was allowed to go, by the ledger's clock, as its shares were taken.
        due: The same with the pauses that have come up since.
        marks: Its shares, by key; empty until they are taken.
        returned: Whether they were given back.
    """

    wants: Sequence[RateWant]
    told: asyncio.Future[float]
    go: float = 0.0
    due: float = 0.0
    marks: dict[str, Mark] = field(default_factory=dict)
    returned: bool = False


@dataclass(slots=True)
class Turn:
    """One batch, in the order in which it is applied.

    Attributes:
        corrections: Amounts to take (or give back, below 0) without waiting, by key.
        returned: Tickets of callers that went away.
        pauses: Seconds during which nobody goes through, by key.
        confirmed: Tickets whose sleep is over.
        asked: Tickets to take.
    """

    corrections: dict[str, RateWant] = field(default_factory=dict)
    returned: list[Ticket] = field(default_factory=list)
    pauses: dict[str, float] = field(default_factory=dict)
    confirmed: list[Ticket] = field(default_factory=list)
    asked: list[Ticket] = field(default_factory=list)

    def __bool__(self) -> bool:
        parts = (self.corrections, self.returned, self.pauses, self.confirmed, self.asked)
        return any(parts)

    def rates(self) -> dict[str, Rate | None]:
        """Return every bucket that is touched, with its rate where somebody named it."""
        found: dict[str, Rate | None] = dict.fromkeys(self.pauses)
        tickets = [*self.returned, *self.confirmed, *self.asked]
        wants = [want for ticket in tickets for want in ticket.wants]
        found.update({want.key: want.rate for want in [*self.corrections.values(), *wants]})
        return found


class Ledger(Protocol):
    """Where the buckets are."""

    async def play(self, turn: Turn) -> float:
        """Apply a turn, fill in its tickets, and return the present time of the ledger's clock.

        Returns only when it is done: a ledger that is away is tried again.
        """

    async def report(self) -> Sequence[BucketReport]:
        """Return all buckets, by key."""

    async def close(self) -> None:
        """Let go of connections."""
