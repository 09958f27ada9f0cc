"""Redis forgets, goes away, or comes back with old data: never more than the limit run."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from redis import Redis

from envelope.errors import QueueUnavailable
from tests.conformance import permits_redis
from tests.conformance.permits_bench import (
    AGENT,
    RedisBench,
    acquire,
    ask,
    executed,
    held,
    of,
    opened,
    queue,
    waiting,
)
from tests.conformance.permits_load import Gauge, Trouble, work
from tests.conformance.permits_redis import notice_of_grant, run
from tests.services.redis_server import PrivateRedis
from worker.coordination.connection import Presence

redis = permits_redis.emptied


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[PrivateRedis]:
    server = PrivateRedis(*getattr(request, "param", ())).start()
    yield server
    server.close()


async def _disturb(gauge: Gauge, at: list[int], disturb: Callable[[], Any]) -> None:
    """Disturb whenever so many were served."""
    for served in at:
        while gauge.served < served:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(disturb)


def test_flushes_under_load_never_let_more_than_the_limit_run(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url)) as bench:
            desks = [await bench.desk(f"w{number}") for number in range(3)]
            gauge = Gauge()
            flushes = asyncio.create_task(
                _disturb(gauge, [20, 21, 60, 100, 140, 200], redis.flushall)
            )
            await work(desks, gauge, tasks=20, times=5, limit=5, seconds=0.003)
            await flushes
            assert (gauge.most, gauge.served) == (5, 300)

    run(case)


def test_a_limit_set_at_run_time_holds_across_a_flush(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url)) as bench:
            desks = [await bench.desk(f"w{number}") for number in range(2)]
            for desk in desks:
                await desk.set_limits({AGENT: 2})
            gauge = Gauge()
            flushes = asyncio.create_task(_disturb(gauge, [10, 30, 50], redis.flushall))
            await work(desks, gauge, tasks=10, times=4, limit=50, seconds=0.002)
            await flushes
            assert (gauge.most, gauge.served) == (2, 80)

    run(case)


def test_after_a_flush_nothing_is_granted_until_all_have_registered(
    redis_url: str, redis: Any
) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, grace_seconds=60, looking=False)) as bench:
            first, second = await bench.desk("w1"), await bench.desk("w2")
            await first.acquire(ask("a", limit=2))
            await second.acquire(ask("b", limit=2))
            tasks = await queue(first, ask("c", limit=2))
            redis.flushall()
            first.release(AGENT, "run", "a")
            await first.look()
            report = await of(first)
            assert report.why is not None
            assert report.why.startswith("after a flush of Redis: waiting for 1 worker to")
            assert ([*await held(first)], await waiting(first)) == ([], ["c"])
            await second.look()
            await tasks["c"]
            assert await held(first) == ["b", "c"]

    run(case)


def test_who_does_not_register_is_waited_for_until_the_deadline(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, grace_seconds=0.5, looking=False)) as bench:
            first, silent = await bench.desk("w1"), await bench.desk("w2")
            await silent.acquire(ask("b"))
            redis.flushall()
            loop = asyncio.get_running_loop()
            began = loop.time()
            task = acquire(first, ask("a"))
            while not task.done():
                await first.look()
            assert loop.time() - began >= 0.5

    run(case)


def test_who_died_is_not_waited_for(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, grace_seconds=1000, looking=False)) as bench:
            first, dead = await bench.desk("w1"), await bench.desk("w2")
            await dead.acquire(ask("b"))
            redis.flushall()
            tasks = await queue(first, ask("a"))
            bench.kill("w2")
            await first.look()
            await tasks["a"]

    run(case)


def test_places_are_kept_across_a_flush(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            first, second = await bench.desk("w1"), await bench.desk("w2")
            await first.acquire(ask("0"))
            for index in range(6):
                await queue(second if index % 2 else first, ask(f"a{index}"))
            await queue(first, ask("urgent", priority=9))
            before = await waiting(first)
            redis.flushall()
            await second.look()
            await first.look()
            assert await waiting(first) == before == ["urgent", *(f"a{i}" for i in range(6))]
            assert await held(first) == ["0"]

    run(case)


def test_thousands_register_again(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            desk = await bench.desk("w1")
            tasks = [acquire(desk, ask(f"{index:04}", limit=1200)) for index in range(1800)]
            await asyncio.gather(*tasks[:1200])
            redis.flushall()
            await desk.look()
            assert await held(desk) == [f"{index:04}" for index in range(1200)]
            assert await waiting(desk) == [f"{index:04}" for index in range(1200, 1800)]
            for index in range(1200):
                desk.release(AGENT, "run", f"{index:04}")
            await asyncio.gather(*tasks[1200:])

    run(case)


def test_a_permit_that_changed_hands_is_registered_by_who_has_it(
    redis_url: str, redis: Any
) -> None:
    async def case(owner_first: bool) -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            owner, executor = await bench.desk("w1"), await bench.desk("w2")
            await owner.acquire(ask("a"))
            await executor.acquire(ask("a"))
            redis.flushall()
            for desk in (owner, executor) if owner_first else (executor, owner):
                await desk.look()
            tasks = await queue(owner, ask("b"))
            owner.release(AGENT, "run", "a")
            await executed(owner)
            assert await held(owner) == ["a"]
            executor.release(AGENT, "run", "a")
            await tasks["b"]

    for owner_first in (True, False):
        run(partial(case, owner_first))


def test_an_executor_may_ask_before_the_owner_has_registered(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            owner, executor = await bench.desk("w1"), await bench.desk("w2")
            await owner.acquire(ask("a"))
            redis.flushall()
            tasks = await queue(executor, ask("a"))
            await owner.look()
            await tasks["a"]
            (holder,) = (await of(owner)).holders
            assert holder.worker == "w2"

    run(case)


def test_a_notice_of_before_a_flush_grants_nothing_after_it(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            first = await bench.desk("w1")
            await first.acquire(ask("a"))
            second = await bench.desk("w2", told=False)
            tasks, notice = await notice_of_grant(redis, first, second)
            redis.flushall()
            third = await queue(first, ask("c", priority=9))
            await second.look()
            await third["c"]
            second.told(notice)
            await executed(second)
            assert not tasks["b"].done()

    run(case)


def test_redis_killed_and_started_under_load(server: PrivateRedis) -> None:
    def restart() -> None:
        server.kill()
        server.start()

    async def case() -> None:
        async with opened(RedisBench(server.url)) as bench:
            desks = [await bench.desk(f"w{number}") for number in range(3)]
            gauge = Gauge()
            restarts = asyncio.create_task(_disturb(gauge, [20, 100, 200], restart))
            await work(desks, gauge, tasks=20, times=5, limit=5, seconds=0.003)
            await restarts
            assert (gauge.most, gauge.served) == (5, 300)
            await asyncio.gather(*(executed(desk) for desk in desks))
            assert await held(desks[0]) == []

    run(case)


@pytest.mark.parametrize("server", [("--appendonly", "no")], indirect=True)
def test_redis_that_comes_back_with_old_data(server: PrivateRedis) -> None:
    async def case() -> None:
        async with opened(RedisBench(server.url)) as bench:
            desk, other = await bench.desk("w1"), await bench.desk("w2")
            await desk.acquire(ask("old", limit=2))
            with Redis.from_url(server.url) as client:
                client.save()
            desk.release(AGENT, "run", "old")
            await asyncio.gather(desk.acquire(ask("a", limit=2)), other.acquire(ask("b", limit=2)))
            tasks = await queue(other, ask("c", limit=2))
            server.kill()
            server.start()
            await asyncio.gather(executed(desk), executed(other))
            assert (await held(desk), await waiting(desk)) == (["a", "b"], ["c"])
            desk.release(AGENT, "run", "a")
            await tasks["c"]

    run(case)


def test_while_redis_is_away_asks_wait_and_releases_are_kept(server: PrivateRedis) -> None:
    async def case() -> None:
        async with opened(RedisBench(server.url)) as bench:
            desk = await bench.desk("w1")
            await desk.acquire(ask("a"))
            server.kill()
            desk.release(AGENT, "run", "a")
            tasks = [acquire(desk, ask("b")), acquire(desk, ask("c"))]
            await desk.look()
            await desk.set_limits({"another": 3})
            with pytest.raises(QueueUnavailable, match="Check MUSTER_REDIS_URL"):
                await desk.report()
            assert not any(task.done() for task in tasks)
            tasks.pop().cancel()
            server.start()
            await asyncio.gather(*tasks)
            assert (await held(desk), await waiting(desk)) == (["b"], [])

    run(case)


def test_an_outage_is_logged_once(redis_url: str, redis: Any) -> None:
    class Log:
        def __init__(self) -> None:
            self.said: list[str] = []

        def __getattr__(self, level: str) -> Callable[..., None]:
            return lambda event, **_: self.said.append(f"{level} {event}")

    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            desk = await bench.desk("w1")
            log = Log()
            desk._presence = Presence(log, "permits")
            Trouble(desk).coming = ["lose request"] * 3
            await desk.look()
            await desk.look()
            await desk.acquire(ask("a"))
            assert log.said == ["warning permits.away", "info permits.back"]

    run(case)


def test_an_unreachable_journal_delays_a_new_era(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            desk = await bench.desk("w1")
            attempts = 0

            async def living() -> set[str]:
                nonlocal attempts
                attempts += 1
                if attempts < 3:
                    raise RuntimeError("the journal is away")
                return {"w1"}

            desk._living = living
            redis.flushall()
            await desk.acquire(ask("a"))
            assert attempts == 3

    run(case)
