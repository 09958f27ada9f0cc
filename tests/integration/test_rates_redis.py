"""Rate limits of several processes on one Redis, which may be emptied, stopped or stalled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import structlog
from redis import Redis

from envelope.errors import QueueUnavailable
from envelope.ports.rates import BucketReport, Rate, RateWant
from tests.services.redis_server import PrivateRedis
from worker.coordination.connection import connection
from worker.coordination.rates import redis_rates
from worker.coordination.rates.redis_rates import RedisRates

KEY = "agent:busy"
CALM = Rate(amount=60.0, seconds=60.0, burst=10.0)
QUICK = Rate(amount=200.0, seconds=1.0, burst=20.0)


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateRedis]:
    redis = PrivateRedis().start()
    yield redis
    redis.close()


@pytest.fixture
def redis(server: PrivateRedis) -> Iterator[Redis]:
    with Redis.from_url(server.url, decode_responses=True) as client:
        client.flushall()
        client.config_resetstat()
        yield client


def want(rate: Rate = CALM, amount: float = 1.0) -> RateWant:
    return RateWant(key=KEY, rate=rate, amount=amount)


@asynccontextmanager
async def processes(server: PrivateRedis, number: int, **more: Any) -> AsyncIterator[list[Any]]:
    """So many `RedisRates` as different processes would hold."""
    made = [RedisRates(server.url, structlog.get_logger("test"), **more) for _ in range(number)]
    try:
        yield made
    finally:
        for limits in made:
            await limits.close()


async def report_of(limits: RedisRates) -> BucketReport:
    (report,) = await limits.report()
    return report


async def take(limits: RedisRates, number: int, rate: Rate = CALM) -> None:
    await asyncio.gather(*(limits.reserve([want(rate)]) for _ in range(number)))


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.005)


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(_awaited(test), 60))


async def _awaited(test: Callable[[], Awaitable[None]]) -> None:
    await test()


def scripts_run(redis: Redis) -> int:
    return int(redis.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


def test_processes_share_one_bucket(server: PrivateRedis, redis: Redis) -> None:
    async def test() -> None:
        async with processes(server, 3) as workers:
            for limits in workers:
                await take(limits, 3)
            report = await report_of(workers[0])
            assert report.level == pytest.approx(1, abs=0.5)
            assert report.rate == CALM

    run(test)


def test_the_cluster_lets_no_more_through_than_burst_and_flow(
    server: PrivateRedis, redis: Redis
) -> None:
    """Counted by Redis's own clock: never wrong by being slow."""

    async def test() -> None:
        moments: list[float] = []

        async def go(limits: RedisRates) -> None:
            await limits.reserve([want(QUICK)])
            moments.append(asyncio.get_running_loop().time())

        async with processes(server, 4) as workers, asyncio.TaskGroup() as together:
            for _ in range(45):
                for limits in workers:
                    together.create_task(go(limits))
        assert len(moments) == 180
        for first, began in enumerate(moments):
            for last in range(first + 30, len(moments)):
                flowed = (moments[last] - began) * 200
                # Up to 20 ms of a window go by between Redis's answer and the note.
                assert last - first + 1 <= 1.05 * (20 + flowed) + 4
        assert moments[-1] - moments[0] >= 0.95 * 160 / 200

    run(test)


def test_what_one_loop_turn_asks_travels_in_one_script_call(
    server: PrivateRedis, redis: Redis
) -> None:
    async def test() -> None:
        async with processes(server, 1) as (limits,):
            await take(limits, 1)
            before = scripts_run(redis)
            other = RateWant(key="account:a:tokens", rate=QUICK, amount=5)
            await asyncio.gather(*(limits.reserve([want(QUICK, 0.01), other]) for _ in range(4)))
            assert scripts_run(redis) == before + 1

    run(test)


def test_a_flush_refills_no_bucket(server: PrivateRedis, redis: Redis) -> None:
    async def test() -> None:
        async with processes(server, 3) as (early, late, stranger):
            await take(early, 4)
            await take(late, 5)
            redis.flushall()
            await take(stranger, 1)  # knows nothing of before
            assert (await report_of(stranger)).level == pytest.approx(9, abs=0.5)
            await take(early, 1)  # knows of 4 taken before
            assert (await report_of(early)).level == pytest.approx(4, abs=0.7)
            knowing = await late.reserve([want(amount=0)])  # knows of 9: the newest memory
            assert knowing.waited_seconds == pytest.approx(1, abs=0.7)
            again = await early.reserve([want(amount=0)])
            assert again.waited_seconds < 0.5

    run(test)


def test_a_flush_ends_no_pause(server: PrivateRedis, redis: Redis) -> None:
    async def test() -> None:
        async with processes(server, 1) as (limits,):
            limits.pause(KEY, 60)
            await limits.reserve([RateWant(key="other", rate=CALM)])
            redis.flushall()
            waiter = asyncio.create_task(limits.reserve([want()]))
            await until(lambda: redis.exists("muster:rate:agent%3Abusy"))
            assert (await report_of(limits)).paused_seconds > 50
            waiter.cancel()
            await asyncio.wait({waiter})

    run(test)


def test_a_flush_neither_frees_nor_loses_those_who_sleep(
    server: PrivateRedis, redis: Redis
) -> None:
    async def test() -> None:
        async with processes(server, 1) as (limits,):
            await take(limits, 20, QUICK)
            began = asyncio.get_running_loop().time()
            sleeping = asyncio.create_task(take(limits, 60, QUICK))
            while (await report_of(limits)).level > -30:
                await asyncio.sleep(0)
            redis.flushall()
            await take(limits, 1, QUICK)
            assert asyncio.get_running_loop().time() - began >= 0.9 * 60 / 200
            await sleeping

    run(test)


def test_callers_wait_while_redis_is_away(redis: Redis, server: PrivateRedis) -> None:
    async def test() -> None:
        async with processes(server, 1) as (limits,):
            await take(limits, 1)
            server.kill()
            waiting = asyncio.create_task(take(limits, 2))
            with pytest.raises(QueueUnavailable):
                await limits.report()
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await asyncio.to_thread(server.start)
            await waiting
            assert (await report_of(limits)).level == pytest.approx(8, abs=1.9)

    run(test)


def test_an_answer_that_is_lost_costs_no_second_share(
    redis: Redis, server: PrivateRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stalled server executes later what callers have given up and sent again."""
    impatient = partial(connection, answer_seconds=0.1)
    monkeypatch.setattr(redis_rates, "connection", impatient)
    monkeypatch.setattr(redis_rates, "_AGAIN_SECONDS", 0.05)

    async def test() -> None:
        async with processes(server, 1) as (limits,):
            await take(limits, 1)
            server.pause()
            try:
                waiting = asyncio.create_task(take(limits, 3))
                await asyncio.sleep(1)
            finally:
                server.resume()
            await waiting
            assert (await report_of(limits)).level == pytest.approx(6, abs=1.9)

    run(test)
    assert scripts_run(redis) > 2, "the turn was executed again"


def test_a_new_server_learns_the_script(redis: Redis, server: PrivateRedis) -> None:
    async def test() -> None:
        async with processes(server, 1) as (limits,):
            await take(limits, 1)
            redis.script_flush()
            await take(limits, 1)
            assert (await report_of(limits)).level == pytest.approx(8, abs=0.5)

    run(test)


def test_a_bucket_that_nobody_uses_goes_away_by_itself(redis: Redis, server: PrivateRedis) -> None:
    async def test() -> None:
        async with processes(server, 1) as (limits,):
            await take(limits, 1)
            assert 3_600 < redis.ttl("muster:rate:agent%3Abusy") < 3_700
            redis.delete("muster:rate:agent%3Abusy")
            assert await limits.report() == []

    run(test)


def test_nothing_is_logged_of_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []

    class Log:
        def warning(self, event: str, **fields: Any) -> None:
            noted.append(f"{event} {fields}")

    async def test() -> None:
        limits = RedisRates("redis://:CANARY@127.0.0.1:1/0", Log())
        waiting = asyncio.create_task(limits.reserve([want()]))
        await until(lambda: noted)
        waiting.cancel()
        await asyncio.wait({waiting})
        await limits.close()

    run(test)
    assert len(noted) == 1
    assert "CANARY" not in noted[0]
