"""Rate limits: so much per time, counted for the whole cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A token bucket.

    Attributes:
        amount: Tokens that flow in per `seconds`.
        seconds: That period.
        burst: What the bucket holds when full.
    """

    amount: float
    seconds: float
    burst: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RateWant:
    """What a caller wants of one bucket, such as 1 request of `agent:copywriter`.

    Attributes:
        key: The bucket's name: `agent:<name>`, `account:<name>:requests`, `account:<name>:tokens`.
        rate: Its limit.
        amount: How much, as far as known before the call.
    """

    key: str
    rate: Rate
    amount: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What was taken, to be settled with what was really used."""

    wants: Sequence[RateWant]
    waited_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketReport:
    """A bucket now: tokens in it (below 0: promised to waiters), and until when it is paused."""

    key: str
    level: float
    rate: Rate | None
    paused_seconds: float


class RateLimits(Protocol):
    """The buckets as one process sees them; belongs to one event loop."""

    async def reserve(self, wants: Sequence[RateWant]) -> Reservation:
        """Return when all of it is allowed; in order, without polling.

        A cancelled caller gives back what it reserved. While Redis is away the caller waits.

        Raises:
            InvalidInput: More is wanted at once than a bucket ever holds.
        """

    def settle(self, reservation: Reservation, used: Mapping[str, float]) -> None:
        """Correct estimates by what was really used, by key; with the next batch, never waits."""

    def pause(self, key: str, seconds: float) -> None:
        """Let nobody in the cluster through `key` for so long: a server said Retry-After."""

    async def report(self) -> Sequence[BucketReport]:
        """Return all buckets, by key."""

    async def close(self) -> None:
        """Let go of connections."""
