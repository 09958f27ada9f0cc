"""One suite for budgets: on Redis, and in this process; and the meter of a step."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
import structlog
from redis import Redis

from envelope.errors import BudgetExceeded, JournalUnavailable
from envelope.ports.budgets import Amount, BudgetLimit, Budgets
from tests.services.redis_server import PrivateRedis
from worker.coordination.budgets.in_process import InProcessBudgets
from worker.coordination.budgets.meter import RunMeter
from worker.coordination.budgets.redis_budgets import RedisBudgets


class Journal:
    """Says what is spent, and counts how often it was asked."""

    def __init__(self, tokens: int = 0, usd: float = 0.0) -> None:
        self.told = (tokens, usd)
        self.asked = 0
        self.away = 0

    async def spent(self, root_id: str) -> tuple[int, float]:
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.away:
            self.away -= 1
            raise JournalUnavailable("The journal is away.")
        return self.told


Make = Callable[[Journal], Any]


@pytest.fixture(params=["in_process", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "in_process":
        return lambda journal: InProcessBudgets(journal.spent)
    url = request.getfixturevalue("redis_url")
    return on_redis(url)


def on_redis(url: str) -> Make:
    return lambda journal: RedisBudgets(url, journal.spent, structlog.get_logger("test"))


@asynccontextmanager
async def opened(make: Make, journal: Journal | None = None) -> AsyncIterator[Any]:
    budgets = make(journal or Journal())
    try:
        yield budgets
    finally:
        await budgets.close()


def limit_of(tokens: int | None = 1_000, usd: float | None = None, **more: Any) -> BudgetLimit:
    return BudgetLimit(**{"root_id": f"run:{uuid4()}", "tokens": tokens, "usd": usd} | more)


def tokens(number: int) -> Amount:
    return Amount(tokens=number)


async def exceeded(budgets: Budgets, limit: BudgetLimit, amount: Amount) -> str:
    with pytest.raises(BudgetExceeded) as caught:
        await budgets.reserve(limit, str(uuid4()), amount)
    return str(caught.value)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(limited())


def test_calls_go_until_the_budget_is_used(make: Make) -> None:
    async def test() -> None:
        async with opened(make) as budgets:
            limit = limit_of(1_000)
            await budgets.reserve(limit, "a", tokens(400))
            await budgets.reserve(limit, "b", tokens(400))
            said = await exceeded(budgets, limit, tokens(300))
            for part in (limit.root_id, "1,000 tokens", "800 tokens", "300 tokens"):
                assert part in said
            await budgets.settle(limit, "a", tokens(100))
            await budgets.reserve(limit, "c", tokens(300))
            await budgets.settle(limit, "b", tokens(0))
            await budgets.settle(limit, "c", tokens(600))
            said = await exceeded(budgets, limit, tokens(301))
            assert "Used: 700 tokens" in said
            await budgets.reserve(limit, "d", tokens(300))

    run(test)


def test_money_is_limited_as_tokens_are(make: Make) -> None:
    async def test() -> None:
        async with opened(make) as budgets:
            limit = limit_of(None, 1.0)
            for number in range(10):
                await budgets.reserve(limit, str(number), Amount(tokens=10**9, usd=0.1))
            assert "1.0000 USD" in await exceeded(budgets, limit, Amount(usd=0.001))

    run(test)


def test_both_limits_count(make: Make) -> None:
    async def test() -> None:
        async with opened(make) as budgets:
            limit = limit_of(100, 1.0)
            await exceeded(budgets, limit, Amount(tokens=101, usd=0.1))
            await exceeded(budgets, limit, Amount(tokens=10, usd=1.1))
            await budgets.reserve(limit, "fits", Amount(tokens=100, usd=1.0))

    run(test)


def test_it_begins_with_what_the_journal_knows_and_asks_once(make: Make) -> None:
    async def test() -> None:
        journal = Journal(900, 0.5)
        async with opened(make, journal) as budgets:
            limit = limit_of(1_000)
            calls = [budgets.reserve(limit, str(number), tokens(1)) for number in range(100)]
            await asyncio.gather(*calls)
            assert "Used: 900 tokens, 0.5000 USD; set aside for calls under way: 100" in (
                await exceeded(budgets, limit, tokens(1))
            )
            assert journal.asked == 1

    run(test)


def test_budgets_do_not_mix(make: Make) -> None:
    async def test() -> None:
        async with opened(make) as budgets:
            one, other = limit_of(10), limit_of(10)
            await budgets.reserve(one, "a", tokens(10))
            await budgets.reserve(other, "a", tokens(10))

    run(test)


def test_a_raised_budget_counts_at_once(make: Make) -> None:
    async def test() -> None:
        async with opened(make) as budgets:
            limit = limit_of(10)
            await budgets.reserve(limit, "a", tokens(10))
            await exceeded(budgets, limit, tokens(1))
            more = BudgetLimit(root_id=limit.root_id, tokens=20)
            await budgets.reserve(more, "b", tokens(10))

    run(test)


def test_what_a_dead_process_set_aside_comes_back(make: Make) -> None:
    async def test() -> None:
        async with opened(make) as budgets:
            limit = limit_of(10)
            await budgets.reserve(limit, "dead", tokens(10), seconds=0.2)
            await exceeded(budgets, limit, tokens(10))
            async with asyncio.timeout(20):
                while True:
                    try:
                        await budgets.reserve(limit, "next", tokens(10))
                    except BudgetExceeded:
                        await asyncio.sleep(0.02)
                    else:
                        break
            await budgets.settle(limit, "dead", tokens(7))  # it lived after all
            assert "Used: 7 tokens" in await exceeded(budgets, limit, tokens(1))

    run(test)


@pytest.mark.parametrize("odd", [Amount(tokens=-5), Amount(usd=math.nan), Amount(usd=-1.0)])
def test_nonsense_is_no_credit(make: Make, odd: Amount) -> None:
    async def test() -> None:
        async with opened(make) as budgets:
            limit = limit_of(10, 1.0)
            await budgets.reserve(limit, "odd", odd)
            await budgets.settle(limit, "odd", odd)
            await exceeded(budgets, limit, Amount(tokens=11))
            await exceeded(budgets, limit, Amount(usd=1.01))
            await budgets.reserve(limit, "all", Amount(tokens=10, usd=1.0))

    run(test)


def test_a_journal_that_is_away_is_told_to_the_caller(make: Make) -> None:
    async def test() -> None:
        journal = Journal()
        journal.away = 1
        async with opened(make, journal) as budgets:
            limit = limit_of(10)
            with pytest.raises(JournalUnavailable):
                await budgets.reserve(limit, "a", tokens(1))
            await budgets.reserve(limit, "b", tokens(10))

    run(test)


def test_many_at_once_never_pass_the_limit(make: Make) -> None:
    async def test() -> None:
        async with opened(make) as budgets:
            limit, under_way, most = limit_of(100), 0, 0

            async def call(number: int) -> bool:
                nonlocal under_way, most
                try:
                    await budgets.reserve(limit, str(number), tokens(7))
                except BudgetExceeded:
                    return False
                under_way += 7
                most = max(most, under_way)
                return True

            went = await asyncio.gather(*(call(number) for number in range(200)))
            assert sum(went) == 14
            assert most <= 100

    run(test)


def test_a_cancelled_reservation_holds_nothing(make: Make) -> None:
    async def test() -> None:
        async with opened(make) as budgets:
            limit = limit_of(10)
            await budgets.reserve(limit, "first", tokens(0))
            for turns in range(12):
                asking = asyncio.create_task(budgets.reserve(limit, str(turns), tokens(10)))
                for _ in range(turns % 6):
                    await asyncio.sleep(0)
                asking.cancel()
                await asyncio.wait({asking})
                if not asking.cancelled():
                    await budgets.settle(limit, str(turns), Amount())
            await budgets.reserve(limit, "last", tokens(10))

    run(test)


def test_a_meter_charges_what_was_used(make: Make) -> None:
    async def test() -> None:
        async with opened(make) as budgets:
            limit = limit_of(100)
            meter = RunMeter(budgets, limit, "r1", "draft")
            async with meter.call(tokens(60)) as charge:
                said = await exceeded(budgets, limit, tokens(50))
                assert "way: 60 tokens" in said
                charge.used(tokens(20))
            meter.committed()
            assert "Used: 20 tokens" in await exceeded(budgets, limit, tokens(90))
            with pytest.raises(BudgetExceeded):
                async with meter.call(tokens(81)):
                    pytest.fail("the call was made")

    run(test)


def test_a_meter_settles_calls_that_fail_or_are_cancelled(make: Make) -> None:
    async def test() -> None:
        async with opened(make) as budgets:
            limit = limit_of(100)
            meter = RunMeter(budgets, limit, "r1", "draft")

            async def failing() -> None:
                async with meter.call(tokens(60)) as charge:
                    charge.used(tokens(5))
                    raise ValueError("broken")

            with pytest.raises(ValueError, match="broken"):
                await failing()
            entered = asyncio.Event()

            async def for_ever() -> None:
                async with meter.call(tokens(60)):
                    entered.set()
                    await asyncio.Event().wait()

            calling = asyncio.create_task(for_ever())
            await entered.wait()
            calling.cancel()
            await asyncio.wait({calling})
            assert "Used: 5 tokens, 0.0000 USD; set aside for calls under way: 0 " in (
                await exceeded(budgets, limit, tokens(96))
            )

    run(test)


def test_a_meter_may_be_asked_from_another_loop(make: Make) -> None:
    async def test() -> None:
        async with opened(make) as budgets:
            limit = limit_of(100)
            meter = RunMeter(budgets, limit, "r1", "draft")

            async def call() -> None:
                async with meter.call(tokens(60)) as charge:
                    charge.used(tokens(30))

            await asyncio.to_thread(asyncio.run, call())
            assert "Used: 30 tokens" in await exceeded(budgets, limit, tokens(71))

    run(test)


def test_a_run_without_a_limit_asks_nobody(make: Make) -> None:
    async def test() -> None:
        journal = Journal()
        async with opened(make, journal) as budgets:
            meter = RunMeter(budgets, limit_of(None), "r1", "draft")
            async with meter.call(tokens(10**9)):
                pass
            assert journal.asked == 0

    run(test)


def test_processes_share_a_budget(redis_url: str) -> None:
    async def test() -> None:
        journal, make = Journal(), on_redis(redis_url)
        async with opened(make, journal) as one, opened(make, journal) as other:
            limit = limit_of(100)
            await one.reserve(limit, "a", tokens(60))
            await exceeded(other, limit, tokens(60))
            await one.settle(limit, "a", tokens(10))
            await one.reserve(limit, "b", tokens(0))  # what was settled before has arrived
            await other.reserve(limit, "c", tokens(60))
            assert journal.asked == 1

    run(test)


def test_a_flush_forgets_neither_calls_under_way_nor_uncommitted_ones(redis_url: str) -> None:
    async def test() -> None:
        journal, make = Journal(1), on_redis(redis_url)
        async with opened(make, journal) as one, opened(make, journal) as other:
            limit = limit_of(100)
            await one.reserve(limit, "under way", tokens(20))
            await one.reserve(limit, "settled", tokens(20))
            await one.settle(limit, "settled", tokens(7))
            await one.reserve(limit, "committed", tokens(20))
            await one.settle(limit, "committed", tokens(30))
            await other.reserve(limit, "theirs", tokens(2))
            one.committed(limit, ["committed"])
            journal.told = (31, 0.0)
            await flush(redis_url)
            await exceeded(other, limit, tokens(10**6))
            said = await exceeded(one, limit, tokens(10**6))
            assert "Used: 38 tokens" in said  # 31 by the journal, 7 that it does not know yet
            assert "way: 22 tokens" in said
            await one.settle(limit, "under way", tokens(20))
            await other.settle(limit, "theirs", tokens(2))
            await other.reserve(limit, "d", tokens(0))
            said = await exceeded(one, limit, tokens(10**6))
            assert "Used: 60 tokens, 0.0000 USD; set aside for calls under way: 0 " in said
            assert journal.asked == 2

    run(test)


def test_settling_after_a_flush_counts_once(redis_url: str) -> None:
    async def test() -> None:
        async with opened(on_redis(redis_url)) as budgets:
            limit = limit_of(100)
            await budgets.reserve(limit, "a", tokens(20))
            await flush(redis_url)
            await budgets.settle(limit, "a", tokens(9))
            await budgets.reserve(limit, "b", tokens(0))
            said = await exceeded(budgets, limit, tokens(10**6))
            assert "Used: 9 tokens, 0.0000 USD; set aside for calls under way: 0 " in said

    run(test)


async def flush(url: str) -> None:
    def clear() -> None:
        with Redis.from_url(url) as client:
            client.flushall()
            client.script_flush()

    await asyncio.to_thread(clear)


def test_an_unused_budget_goes_away_by_itself(redis_url: str) -> None:
    async def test() -> None:
        async with opened(on_redis(redis_url)) as budgets:
            limit = limit_of(100, root_id="run*:%")
            await budgets.reserve(limit, "a", tokens(20))
        with Redis.from_url(redis_url) as client:
            for key in ("muster:budget:run%2A%3A%25", "muster:budget:run%2A%3A%25:calls"):
                assert 86_000 < client.ttl(key) <= 86_400

    run(test)


def test_callers_wait_while_redis_is_away_and_settling_catches_up() -> None:
    server = PrivateRedis().start()

    async def test() -> None:
        async with opened(on_redis(server.url)) as budgets:
            limit = limit_of(100)
            await budgets.reserve(limit, "a", tokens(20))
            server.kill()
            await budgets.settle(limit, "a", tokens(9))
            asking = asyncio.create_task(exceeded(budgets, limit, tokens(10**6)))
            await asyncio.sleep(0.3)
            assert not asking.done()
            await asyncio.to_thread(server.start)
            assert "Used: 9 tokens" in await asking

    try:
        run(test)
    finally:
        server.close()
