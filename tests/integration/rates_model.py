"""What rate limits let through, told as bounds: no sooner than `low`, no later than `high`.

The two are one as long as nobody went away and nothing was forgotten. All moments are seconds of
the test's clock, all costs seconds of a bucket's flow.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from envelope.ports.rates import BucketReport, Rate, RateWant, Reservation

LATE_SECONDS = 7_200.0


def seconds(rate: Rate, amount: float) -> float:
    return amount * rate.seconds / rate.amount


@dataclass(eq=False)
class Caller:
    """Somebody who asked, with a task for each implementation.

    Attributes:
        low, high: Between these it may go, but for pauses since.
        shifts: By key, how far pauses had put the bucket off when it asked.
        moved: By key, how far at most it has moved the bucket's line.
        stays: Its share does not come back should it go away.
        forgotten: Later pauses may put it off by less: only until their ends.
        went: When it went, by implementation.
    """

    where: int
    wants: Sequence[RateWant]
    asked: float
    era: int
    tasks: list[asyncio.Task[Reservation]] = field(default_factory=list)
    low: float = 0.0
    high: float = 0.0
    shifts: dict[str, tuple[float, float]] = field(default_factory=dict)
    moved: dict[str, float] = field(default_factory=dict)
    stays: bool = False
    forgotten: bool = False
    went: dict[int, float] = field(default_factory=dict)

    def cost(self, key: str) -> float:
        return next(seconds(want.rate, want.amount) for want in self.wants if want.key == key)

    def depth(self, key: str) -> float:
        return next(seconds(want.rate, want.rate.burst) for want in self.wants if want.key == key)


@dataclass
class Bucket:
    """One bucket.

    Attributes:
        low, high: When all that was taken, and promised to those who wait, has flowed in.
        truth: The same of what was really taken, at most.
        away: Shares of those who went away: all come back, at the latest as soon as nobody waits.
        room: How far the line may fall at most as they come back.
        paused: Until when nobody goes, at least and at most.
        shift: How far pauses have put off those who wait, at least and at most.
        late: How much later somebody may go after a flush that not everybody was ready for.
        waiting: Who waits, in order; with those whose shares stay though they are gone.
        returned: What was given back when.
        deepest: The deepest that it ever was.
    """

    low: float
    high: float
    truth: float
    away: float = 0.0
    room: float = 0.0
    paused: tuple[float, float] = (0.0, 0.0)
    shift: tuple[float, float] = (0.0, 0.0)
    late: float = 0.0
    waiting: list[Caller] = field(default_factory=list)
    returned: list[tuple[float, float]] = field(default_factory=list)
    deepest: float = 0.0

    def earliest(self, now: float, cost: float, depth: float) -> tuple[float, float]:
        low = max(self.low - self.room, now - depth) + cost
        high = max(self.high, now - depth) + cost
        return max(now, self.paused[0], low), max(now, self.paused[1], high)

    def take(self, caller: Caller, key: str) -> None:
        cost, depth = caller.cost(key), caller.depth(key)
        self.deepest = max(self.deepest, depth)
        caller.moved[key] = max(self.low, caller.high - depth) + cost - self.low
        caller.shifts[key] = self.shift
        self.low = max(self.low, caller.low - depth) + cost
        self.high = max(self.high, caller.high - depth) + cost
        self.waiting.append(caller)

    def correct(self, now: float, cost: float, depth: float) -> None:
        """More was used than thought, or less: then the bucket is no fuller than full."""
        if cost < 0:
            self.returned.append((now, -cost))
        for name, paused in (("low", 0), ("high", 1), ("truth", 1)):
            until = self.paused[paused]
            line = max(getattr(self, name), now - depth) + cost
            setattr(self, name, max(line, until if until > now else now - depth))

    def pause(self, now: float, until: float) -> None:
        """Nothing flows meanwhile, and the bucket is empty afterwards."""
        least, most = (max(now, paused) for paused in self.paused)
        if until > most:
            self.low = max(self.low, most) + until - most
        if until > least:
            self.high = max(self.high, least) + until - least
            self.truth = max(self.truth, least) + until - least
        further = max(0.0, until - most), max(0.0, until - least)
        self.shift = self.shift[0] + further[0], self.shift[1] + further[1]
        self.paused = max(until, self.paused[0]), max(until, self.paused[1])

    def went(self, now: float, caller: Caller, key: str) -> None:
        self.waiting.remove(caller)
        self.truth = max(self.truth, now - caller.depth(key)) + caller.cost(key)

    def gone_away(self, now: float, caller: Caller, key: str) -> None:
        """Its share comes back; those behind keep their moments."""
        self.room += caller.moved[key]
        self.away += caller.cost(key)
        self.truth = max(self.truth, now - caller.depth(key))  # no fuller than full
        if not caller.stays:
            self.waiting.remove(caller)
            self.high = min(self.high, self._line_of_the_others(key))

    def settle_down(self, now: float, key: str) -> None:
        """What is over is over."""
        for caller in [caller for caller in self.waiting if caller.stays]:
            if self.due(caller, key)[1] <= now and all(task.done() for task in caller.tasks):
                self.went(now, caller, key)
        if now >= self.high:
            self.low = min(self.low - self.room, self.high)
            self.away = self.room = 0.0

    def due(self, caller: Caller, key: str) -> tuple[float, float]:
        before = caller.shifts[key]
        low = caller.low + (0.0 if caller.forgotten else self.shift[0] - before[0])
        high = caller.high + self.shift[1] - before[1] + self.late
        return max(low, self.paused[0]), max(high, self.paused[1])

    def forget(self) -> None:
        """Whoever asks next may know nothing, and old debts and pauses may count once more."""
        self.low, self.room, self.paused = -math.inf, 0.0, (0.0, self.paused[1])
        self.late = LATE_SECONDS

    def _line_of_the_others(self, key: str) -> float:
        line = self.truth
        for caller in self.waiting:
            go = self.due(caller, key)[1]
            line = max(line, go - caller.depth(key)) + caller.cost(key)
            line = max(line, go)
        return line + (self.away if self.waiting else 0.0)


@dataclass
class Model:
    """All buckets, and who waits for them."""

    now: float
    buckets: dict[str, Bucket] = field(default_factory=dict)
    era: int = 0

    def met(self, key: str, rate: Rate | None) -> Bucket:
        """Return a bucket; a new one is full, or empty where nobody has named its rate."""
        if key not in self.buckets:
            full = self.now - (seconds(rate, rate.burst) if rate else 0.0)
            self.buckets[key] = Bucket(full, full, full)
        return self.buckets[key]

    def ask(self, caller: Caller) -> None:
        bounds = [
            self.met(want.key, want.rate).earliest(
                self.now, caller.cost(want.key), caller.depth(want.key)
            )
            for want in caller.wants
        ]
        caller.low, caller.high = max(low for low, _ in bounds), max(high for _, high in bounds)
        for want in caller.wants:
            self.buckets[want.key].take(caller, want.key)

    def due(self, caller: Caller) -> tuple[float, float]:
        """Return between which moments it goes."""
        bounds = [self.buckets[want.key].due(caller, want.key) for want in caller.wants]
        return max(low for low, _ in bounds), max(high for _, high in bounds)

    def allows(self, report: BucketReport, dust: float = 1e-6) -> bool:
        """Return whether a bucket may hold what is reported."""
        bucket, rate = self.buckets[report.key], report.rate
        if rate is None:
            return report.level == 0
        held, depth = seconds(rate, report.level), seconds(rate, rate.burst)
        most = max(self.now, bucket.paused[1]) - bucket.low + bucket.room
        least = max(self.now, bucket.paused[0]) - bucket.high - bucket.late
        return min(depth, least) - dust <= held <= min(depth, most) + dust

    def went(self, caller: Caller) -> None:
        for want in caller.wants:
            self.buckets[want.key].went(self.now, caller, want.key)

    def gone_away(self, caller: Caller) -> None:
        for want in caller.wants:
            self.buckets[want.key].gone_away(self.now, caller, want.key)

    def settle(self, want: RateWant, used: float) -> None:
        if used != want.amount:
            depth = seconds(want.rate, want.rate.burst)
            self.buckets[want.key].correct(self.now, seconds(want.rate, used - want.amount), depth)

    def pause(self, key: str, length: float) -> None:
        self.met(key, None).pause(self.now, self.now + length)

    def flushed(self, *, forgotten: bool) -> None:
        """Redis knows no more whose shares those are that lie in the queue."""
        for bucket in self.buckets.values():
            for caller in bucket.waiting:
                caller.stays = True
                caller.forgotten = caller.forgotten or forgotten
            if forgotten:
                bucket.forget()
        self.era += forgotten

    def settle_down(self) -> None:
        for key, bucket in self.buckets.items():
            bucket.settle_down(self.now, key)


def assert_bounded(
    grants: Sequence[tuple[float, float, float]], bucket: Bucket, dust: float = 1e-6
) -> None:
    """In no window goes more than the burst, what flowed in, and what was given back meanwhile.

    Args:
        grants: When each caller went, what it took, and when it had asked.
        bucket: What the model knows of the bucket.
        dust: What does not count.
    """
    grants = sorted(grants)
    for first, (began, _, _) in enumerate(grants):
        taken, since = 0.0, began
        for at, cost, asked in grants[first:]:
            taken, since = taken + cost, min(since, asked)
            returned = sum(amount for when, amount in bucket.returned if since <= when <= at)
            assert taken <= bucket.deepest + (at - began) + returned + dust
