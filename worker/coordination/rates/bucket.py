"""A token bucket with debt, told in time: the same maths as `turn.lua`.

A bucket is one moment, `paid`: when all that was taken has flowed in. The tokens in it are the time
since then times the flow, so a `paid` in the future is debt. This is the virtual scheduling form of
the generic cell rate algorithm (ITU-T I.371), extended by debt and pauses.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from envelope.ports.rates import BucketReport, Rate
from worker.coordination.rates.turn import Mark, seconds_of

_SAME = 1e-6
"""Seconds within which two moments are one: they were added up in another order."""


@dataclass(slots=True)
class Bucket:
    """One bucket. Costs and depth are seconds of flow, moments are seconds of the ledger's clock.

    Attributes:
        paid: When all that was taken has flowed in.
        rate: Its rate as last named; None where it was only paused yet.
        paused: Until when nobody goes through.
        shift: Seconds by which pauses have put off those who wait, all told.
        moved: Seconds by which pauses and corrections have moved `paid`, all told.
        left: Shares of callers that went away with others behind them: where each ends (as if
            nothing had been moved) and what it takes up, in order.
    """

    paid: float
    rate: Rate | None = None
    paused: float = 0.0
    shift: float = 0.0
    moved: float = 0.0
    left: list[tuple[float, float]] = field(default_factory=list)

    @property
    def depth(self) -> float:
        """How long it takes to fill."""
        return seconds_of(self.rate, self.rate.burst) if self.rate else 0.0

    def correct(self, now: float, cost: float) -> None:
        """Take `cost` without waiting, or give it back; during a pause never below empty."""
        before = max(self.paid, now - self.depth)
        self.paid = before + cost
        self._keep_within(now)
        self.moved += self.paid - before

    def give_back(self, now: float, cost: float, mark: Mark) -> None:
        """Give back a share that nobody used.

        The end of the queue is undone, back to the last caller that is still there or has gone. A
        share with others behind it is kept until they go away too, if they do: they keep their
        moments, so handing it to a newcomer would let two go where one may.
        """
        insort(self.left, (mark.end, mark.lift + cost))
        while self.left and self.left[-1][0] + self.moved >= self.paid - _SAME:
            self.paid -= self.left.pop()[1]
        full = now - self.depth
        self.left = [share for share in self.left if share[0] + self.moved > full]
        self._keep_within(now)

    def pause(self, now: float, seconds: float) -> None:
        """Let nobody through for so long: everything moves back, and the bucket is empty then."""
        since, until = max(now, self.paused), now + seconds
        if until > since:
            self.paid = max(self.paid, since) + until - since
            self.shift += until - since
            self.moved += until - since
            self.paused = until

    def put_off(self, go: float, mark: Mark) -> float:
        """Return when a caller may go that was told `go` and has slept since."""
        return max(go + self.shift - mark.shift, self.paused)

    def earliest(self, now: float, cost: float) -> float:
        """Return when `cost` will have flowed in for one who asks now."""
        return max(self.paused, max(self.paid, now - self.depth) + cost)

    def take(self, go: float, cost: float) -> Mark:
        """Take `cost` for a caller that goes at `go`."""
        lift = max(0.0, go - self.depth - self.paid)
        self.paid += lift + cost
        return Mark(self.paid - self.moved, lift, self.shift)

    def report(self, now: float, key: str) -> BucketReport:
        """Say what is in it."""
        seconds = min(self.depth, max(now, self.paused) - self.paid)
        level = seconds * self.rate.amount / self.rate.seconds if self.rate else 0.0
        paused = max(0.0, self.paused - now)
        return BucketReport(key=key, level=level, rate=self.rate, paused_seconds=paused)

    def _keep_within(self, now: float) -> None:
        self.paid = max(self.paid, self.paused if self.paused > now else now - self.depth)


def take_together(now: float, shares: Sequence[tuple[Bucket, float]]) -> tuple[float, list[Mark]]:
    """Take of several buckets for one caller; return when it may go, and its marks.

    Each share counts from the moment when the caller goes: one that waits for one bucket does not
    hoard the flow of another meanwhile.
    """
    go = max([now, *(bucket.earliest(now, cost) for bucket, cost in shares)])
    return go, [bucket.take(go, cost) for bucket, cost in shares]
