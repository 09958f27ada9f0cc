"""One suite for rate limits: on Redis, and in this process."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
import structlog

from envelope.errors import InvalidInput, QueueUnavailable
from envelope.ports.rates import BucketReport, Rate, RateLimits, RateWant, Reservation
from worker.coordination.rates.in_process import InProcessRates
from worker.coordination.rates.loops import LoopRates
from worker.coordination.rates.redis_rates import RedisRates

CALM = Rate(amount=60.0, seconds=60.0, burst=5.0)
QUICK = Rate(amount=100.0, seconds=1.0, burst=5.0)
SOON = Rate(amount=2.0, seconds=1.0, burst=5.0)
WIDE = Rate(amount=1_000.0, seconds=1.0, burst=1_000.0)

Make = Callable[..., RateLimits]


class Sleeper:
    """Notes what it is asked to sleep; nobody wakes before `wake`."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self._woken = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._woken.wait()

    def wake(self) -> None:
        self._woken.set()


@pytest.fixture(params=["in_process", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "in_process":
        return InProcessRates
    url = request.getfixturevalue("redis_url")
    return lambda **more: RedisRates(url, structlog.get_logger("test"), **more)


@pytest.fixture
def key() -> str:
    return f"agent:écrivain:{uuid4()}"


def want(key: str, rate: Rate = CALM, amount: float = 1.0) -> RateWant:
    return RateWant(key=key, rate=rate, amount=amount)


@asynccontextmanager
async def opened(make: Make, **more: Any) -> AsyncIterator[RateLimits]:
    limits = make(**more)
    try:
        yield limits
    finally:
        await limits.close()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


async def report_of(limits: RateLimits, key: str) -> BucketReport:
    return {report.key: report for report in await limits.report()}[key]


def ask(limits: RateLimits, *wants: RateWant) -> asyncio.Task[Reservation]:
    return asyncio.create_task(limits.reserve(wants))


async def gone(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(limited())


def test_a_burst_goes_at_once_and_the_rest_as_it_flows_in(make: Make, key: str) -> None:
    async def test() -> None:
        sleeper = Sleeper()
        async with opened(make, sleep=sleeper) as limits:
            callers = [ask(limits, want(key)) for _ in range(9)]
            await until(lambda: len(sleeper.asked) == 4)
            assert [caller.done() for caller in callers] == [True] * 5 + [False] * 4
            assert sleeper.asked == pytest.approx([1, 2, 3, 4], rel=0.05)
            report = await report_of(limits, key)
            assert (report.rate, report.paused_seconds) == (CALM, 0)
            assert report.level == pytest.approx(-4, rel=0.05)
            await gone(*callers)

    run(test)


def test_callers_go_in_the_order_of_their_reservations(make: Make, key: str) -> None:
    async def test() -> None:
        went: list[int] = []

        async def go(number: int) -> None:
            await limits.reserve([want(key, QUICK)])
            went.append(number)

        async with opened(make) as limits:
            began = time.monotonic()
            await asyncio.gather(*(go(number) for number in range(45)))
            assert time.monotonic() - began >= 40 / 100 - 0.01
            assert went == list(range(45))

    run(test)


def test_a_small_want_does_not_overtake_a_large_one(make: Make, key: str) -> None:
    async def test() -> None:
        sleeper = Sleeper()
        async with opened(make, sleep=sleeper) as limits:
            await limits.reserve([want(key, amount=5)])
            callers = [ask(limits, want(key, amount=amount)) for amount in (5, 0.5, 2)]
            await until(lambda: len(sleeper.asked) == 3)
            assert sleeper.asked == pytest.approx([5, 5.5, 7.5], rel=0.05)
            await gone(*callers)

    run(test)


def test_several_buckets_are_taken_together_and_the_slowest_decides(make: Make, key: str) -> None:
    """One that waits for tokens hoards no requests meanwhile: later they go a burst at a time."""

    async def test() -> None:
        tokens = Rate(amount=10.0, seconds=1.0, burst=100.0)
        sleeper = Sleeper()
        async with opened(make, sleep=sleeper) as limits:
            await limits.reserve([want(key), want(f"{key}:tokens", tokens, 100)])
            both = [want(key), want(f"{key}:tokens", tokens, 100)]
            few = [want(key), want(f"{key}:tokens", tokens, 0.01)]
            callers = [ask(limits, *both), *(ask(limits, *few) for _ in range(6))]
            await until(lambda: len(sleeper.asked) == 7)
            assert sleeper.asked[:5] == pytest.approx([10] * 5, rel=0.05)
            assert sleeper.asked[5:] == pytest.approx([11, 12], rel=0.05)
            await gone(*callers)

    run(test)


def test_callers_that_go_away_give_their_shares_back(make: Make, key: str) -> None:
    """In whatever order they go: when the last has gone nobody waits for them."""

    async def test() -> None:
        sleeper = Sleeper()
        async with opened(make, sleep=sleeper) as limits:
            callers = [ask(limits, want(key)) for _ in range(305)]
            await until(lambda: len(sleeper.asked) == 300)
            for some in (callers[5:100], callers[200:250], callers[100:200], callers[250:]):
                await gone(*some)
                await limits.reserve([want(f"{key}:other", WIDE)])
            report = await report_of(limits, key)
            assert report.level == pytest.approx(0, abs=0.9)

    run(test)


def test_a_caller_cancelled_while_its_turn_is_under_way_takes_nothing(make: Make, key: str) -> None:
    async def test() -> None:
        async with opened(make) as limits:
            for turns in range(24):
                await limits.reserve([want(f"{key}:other", WIDE, 0)])
                caller = ask(limits, want(key))
                for _ in range(turns % 6):
                    await asyncio.sleep(0)
                caller.cancel()
                await asyncio.wait({caller})
                if not caller.cancelled():
                    limits.settle(caller.result(), {key: 0.0})
            await limits.reserve([want(key, amount=0)])
            report = await report_of(limits, key)
            assert report.level == pytest.approx(5, abs=0.5)

    run(test)


def test_those_who_stay_keep_the_rate_when_others_go_away(make: Make, key: str) -> None:
    """A place in the middle that is given to somebody new must not double the flow at the end."""

    async def test() -> None:
        sleeper = Sleeper()
        async with opened(make, sleep=sleeper) as limits:
            callers = [ask(limits, want(key)) for _ in range(45)]
            await until(lambda: len(sleeper.asked) == 40)
            await gone(*callers[5:25])
            new = [ask(limits, want(key)) for _ in range(20)]
            await until(lambda: len(sleeper.asked) == 60)
            due = sorted(sleeper.asked[20:])
            busiest = max(sum(1 for other in due if at - 0.2 <= other <= at + 9.8) for at in due)
            assert busiest <= (10 + 5) * 1.05
            await gone(*callers[25:], *new)

    run(test)


def test_settling_corrects_in_both_directions(make: Make, key: str) -> None:
    async def test() -> None:
        async with opened(make) as limits:
            first = await limits.reserve([want(key, amount=3)])
            limits.settle(first, {key: 1.0})
            limits.settle(first, {})
            limits.settle(first, {key: math.nan, "other": 7.0})
            second = await limits.reserve([want(key, amount=1)])
            assert (await report_of(limits, key)).level == pytest.approx(3, abs=0.3)
            limits.settle(second, {key: 9.0})
            await limits.reserve([])
            await until_level(limits, key, -5)

    run(test)


async def until_level(limits: RateLimits, key: str, level: float) -> None:
    async with asyncio.timeout(20):
        while abs((await report_of(limits, key)).level - level) > 0.5:
            await asyncio.sleep(0.002)


def test_a_bucket_never_holds_more_than_its_burst(make: Make, key: str) -> None:
    async def test() -> None:
        async with opened(make) as limits:
            reservation = await limits.reserve([want(key, QUICK, 5)])
            limits.settle(reservation, {key: 0.0})
            limits.settle(reservation, {key: 0.0})
            await until_level(limits, key, 5)
            assert (await report_of(limits, key)).level <= 5

    run(test)


def test_a_pause_holds_newcomers_and_those_who_sleep_already(make: Make, key: str) -> None:
    async def test() -> None:
        slow = Rate(amount=10.0, seconds=1.0, burst=1.0)
        async with opened(make) as limits:
            await limits.reserve([want(key, slow)])
            sleeping = [ask(limits, want(key, slow)) for _ in range(2)]
            await asyncio.sleep(0.03)
            began = time.monotonic()
            limits.pause(key, 0.5)
            new = ask(limits, want(key, slow))
            times = await asyncio.gather(*(elapsed(began, caller) for caller in (*sleeping, new)))
            assert times[0] >= 0.5 - 0.01
            assert times[1] >= times[0] + 0.08
            assert times[2] >= times[1] + 0.08

    run(test)


def test_a_pause_holds_those_whose_moment_has_come_but_who_have_not_gone(
    make: Make, key: str
) -> None:
    async def test() -> None:
        sleeper = Sleeper()
        async with opened(make, sleep=sleeper) as limits:
            await limits.reserve([want(key, SOON, 5)])
            caller = ask(limits, want(key, SOON))
            await until(lambda: sleeper.asked)
            await asyncio.sleep(0.6)  # its moment comes
            began = time.monotonic()
            limits.pause(key, 50)
            await limits.reserve([want(f"{key}:other", WIDE)])
            sleeper.wake()
            await until(lambda: len(sleeper.asked) > 1)
            assert sleeper.asked[1] >= 50 - (time.monotonic() - began) - 0.01
            await gone(caller)

    run(test)


async def elapsed(began: float, task: asyncio.Task[Any]) -> float:
    await task
    return time.monotonic() - began


def test_after_a_pause_callers_flow_and_do_not_burst(make: Make, key: str) -> None:
    async def test() -> None:
        sleeper = Sleeper()
        async with opened(make, sleep=sleeper) as limits:
            reservation = await limits.reserve([want(key)])
            limits.pause(key, 100)
            await limits.reserve([want(f"{key}:other", WIDE)])
            limits.settle(reservation, {key: 0.0})
            callers = [ask(limits, want(key)) for _ in range(3)]
            await until(lambda: len(sleeper.asked) == 3)
            assert sleeper.asked == pytest.approx([101, 102, 103], rel=0.05)
            assert sleeper.asked[0] > 100.5
            report = await report_of(limits, key)
            assert report.paused_seconds == pytest.approx(100, rel=0.05)
            assert report.level == pytest.approx(-3, rel=0.05)
            await gone(*callers)

    run(test)


def test_a_longer_pause_counts_and_a_shorter_one_takes_nothing_back(make: Make, key: str) -> None:
    async def test() -> None:
        async with opened(make) as limits:
            for seconds in (10, 30, 5):
                limits.pause(key, seconds)
                await limits.reserve([want(f"{key}:other")])
            assert (await report_of(limits, key)).paused_seconds == pytest.approx(30, rel=0.05)

    run(test)


@pytest.mark.parametrize(
    ("seconds", "paused"),
    [(math.nan, 0), (-5.0, 0), (0.0, 0), (1e9, 3_600), (math.inf, 3_600)],
)
def test_senseless_pauses_are_ignored_or_capped(
    make: Make, key: str, seconds: float, paused: float
) -> None:
    async def test() -> None:
        async with opened(make) as limits:
            await limits.reserve([want(key)])
            limits.pause(key, seconds)
            await limits.reserve([want(f"{key}:2")])
            assert (await report_of(limits, key)).paused_seconds == pytest.approx(paused, rel=0.05)

    run(test)


@pytest.mark.parametrize(
    "bad",
    [
        want("agent:greedy", amount=6),
        want("agent:greedy", amount=-1),
        want("agent:greedy", amount=math.nan),
        want("agent:greedy", Rate(amount=0, seconds=1, burst=1)),
        want("agent:greedy", Rate(amount=1, seconds=math.inf, burst=1)),
    ],
)
def test_what_no_bucket_can_give_is_refused(make: Make, bad: RateWant) -> None:
    async def test() -> None:
        async with opened(make) as limits:
            with pytest.raises(InvalidInput) as caught:
                await limits.reserve([bad])
            assert "agent:greedy" in str(caught.value)
            with pytest.raises(InvalidInput):
                await limits.reserve([want("agent:greedy"), want("agent:greedy")])
            assert "agent:greedy" not in {report.key for report in await limits.report()}

    run(test)


def test_a_refusal_names_bucket_amount_and_burst(make: Make) -> None:
    async def test() -> None:
        async with opened(make) as limits:
            with pytest.raises(InvalidInput, match=r"6 of 'agent:greedy'.*burst is 5"):
                await limits.reserve([want("agent:greedy", amount=6)])

    run(test)


def test_what_is_wanted_of_nothing_is_there_at_once(make: Make) -> None:
    async def test() -> None:
        async with opened(make) as limits:
            assert (await limits.reserve([])).wants == ()

    run(test)


def test_waits_are_told(make: Make, key: str) -> None:
    async def test() -> None:
        async with opened(make) as limits:
            first = await limits.reserve([want(key, QUICK, 5)])
            second = await limits.reserve([want(key, QUICK, 5)])
            assert first.waited_seconds < second.waited_seconds
            assert second.waited_seconds >= 0.05 - 0.01

    run(test)


def test_a_new_rate_counts_from_the_next_reservation(make: Make, key: str) -> None:
    async def test() -> None:
        sleeper = Sleeper()
        async with opened(make, sleep=sleeper) as limits:
            await limits.reserve([want(key, amount=5)])
            faster = Rate(amount=600.0, seconds=60.0, burst=50.0)
            caller = ask(limits, want(key, faster, 10))
            await until(lambda: sleeper.asked)
            assert sleeper.asked[0] == pytest.approx(1, rel=0.05)
            assert (await report_of(limits, key)).rate == faster
            await gone(caller)

    run(test)


def test_names_of_any_kind_are_buckets_of_their_own(make: Make, key: str) -> None:
    async def test() -> None:
        names = {f"{key}:{odd}" for odd in ("*", "a:b", "a%3Ab", "ä\n", " ", "a", "A")}
        async with opened(make) as limits:
            for name in names:
                await limits.reserve([want(name, amount=5)])
            assert names <= {report.key for report in await limits.report()}

    run(test)


def test_closing_releases_those_who_ask_and_refuses_newcomers(make: Make, key: str) -> None:
    async def test() -> None:
        limits = make()
        await limits.reserve([want(key)])
        await limits.close()
        with pytest.raises(QueueUnavailable):
            await limits.reserve([want(key)])

    run(test)


def test_every_loop_has_limits_of_its_own(make: Make, key: str) -> None:
    limits = LoopRates(make)

    async def use() -> None:
        reservation = await limits.reserve([want(key, WIDE)])
        limits.settle(reservation, {key: 2.0})
        limits.pause(key, 0.01)
        assert key in {report.key for report in await limits.report()}
        await limits.close()

    for _ in range(3):
        asyncio.run(use())
