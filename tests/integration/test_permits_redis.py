"""Permits of several processes over a real Redis: deaths, lost notices, lost replies."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

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
    until,
    waiting,
)
from tests.conformance.permits_load import Gauge, Trouble, work
from tests.conformance.permits_redis import notice_of_grant, run
from worker.coordination.permits.redis_permits import RedisPermits

redis = permits_redis.emptied


def test_three_desks_never_hold_more_than_the_limit(redis: Any, redis_url: str) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url)) as bench:
            desks = [await bench.desk(f"w{number}") for number in range(3)]
            gauge = Gauge()
            await work(desks, gauge, tasks=20, times=5, limit=4, seconds=0.001)
            assert (gauge.most, gauge.served) == (4, 300)
            await asyncio.gather(*(executed(desk) for desk in desks))
            assert await held(desks[0]) == []

    run(case)
    assert redis.keys(f"muster:permits:{AGENT}:*") == []  # nothing is left of an agent at rest


def test_a_grant_to_another_process_needs_no_look(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            first = await bench.desk("w1")
            await first.acquire(ask("a"))
            second = await bench.desk("w2")
            tasks = await queue(second, ask("b"))
            trouble = Trouble(second)
            first.release(AGENT, "run", "a")
            await tasks["b"]
            assert trouble.calls == []  # resolved by the notice, without a round trip

    run(case)


def test_one_turn_of_the_loop_is_one_call(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            desk = await bench.desk("w1")
            await executed(desk)
            trouble = Trouble(desk)
            tasks = [acquire(desk, ask(step, limit=100)) for step in range(100)]
            await asyncio.gather(*tasks)
            assert trouble.calls == ["batch"]
            for step in range(100):
                desk.release(AGENT, "run", str(step))
            await executed(desk)
            assert trouble.calls == ["batch", "batch"]

    run(case)


def test_the_permits_and_asks_of_a_dead_process_return(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            dead, alive = await bench.desk("dead"), await bench.desk("alive")
            await dead.acquire(ask("a", limit=2))
            await dead.acquire(ask("b", limit=2))
            await queue(dead, ask("c", limit=2))
            tasks = await queue(alive, *(ask(step, limit=2) for step in "de"))
            await alive.look()
            assert await waiting(alive) == ["c", "d", "e"]
            bench.kill("dead")
            await alive.look()
            await asyncio.gather(*tasks.values())
            assert (await held(alive), await waiting(alive)) == (["d", "e"], [])
        assert "dead" not in redis.hgetall("muster:permits:workers")

    run(case)


def test_a_process_that_begins_while_the_living_are_counted_is_not_swept(
    redis_url: str, redis: Any
) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            old = await bench.desk("old")
            await old.acquire(ask("a", limit=2))
            counted, go_on = asyncio.Event(), asyncio.Event()

            async def living() -> set[str]:
                counted.set()
                await go_on.wait()
                return {"old"}  # as of before the new process began

            old._living = living
            redis.hset("muster:permits:workers", "dead", "1")
            look = asyncio.create_task(old.look())
            await counted.wait()
            new = await bench.desk("new")
            await new.acquire(ask("b", limit=2))
            go_on.set()
            await look
            assert await held(old) == ["a", "b"]
            assert set(redis.hgetall("muster:permits:workers")) == {"old", "new"}

    run(case)


def test_lost_notices_cost_time_only(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            first = await bench.desk("w1")
            await first.acquire(ask("a"))
            second = await bench.desk("w2", told=False)
            tasks = await queue(second, ask("b"))
            first.release(AGENT, "run", "a")

            async def is_theirs() -> bool:
                return await held(first) == ["b"]

            await until(is_theirs, "the grant")
            assert not tasks["b"].done()
            await second.look()
            await tasks["b"]

    run(case)


def test_without_any_notice_all_are_served(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url)) as bench:
            desks = [await bench.desk(f"w{number}", told=False) for number in range(3)]
            gauge = Gauge()
            await work(desks, gauge, tasks=10, times=2, limit=3, seconds=0.001)
            assert (gauge.most, gauge.served) == (3, 60)

    run(case)


def test_a_grant_that_nobody_waits_for_is_given_back(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            first = await bench.desk("w1")
            await first.acquire(ask("a"))
            second = await bench.desk("w2")
            tasks = await queue(second, ask("b"))
            third = await queue(first, ask("c"))
            trouble = Trouble(second)
            trouble.coming = ["lose request"] * 3
            tasks["b"].cancel()
            first.release(AGENT, "run", "a")  # granted to the second before it could withdraw
            await third["c"]

    run(case)


def test_a_late_notice_of_an_earlier_ask_grants_nothing(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            first = await bench.desk("w1")
            await first.acquire(ask("a"))
            second = await bench.desk("w2", told=False)
            tasks, notice = await notice_of_grant(redis, first, second)
            await second.look()
            await tasks["b"]
            second.release(AGENT, "run", "b")
            await first.acquire(ask("a"))
            tasks = await queue(second, ask("b"))
            second.told(notice)
            await executed(second)
            assert not tasks["b"].done()
            assert await waiting(first) == ["b"]
            for nonsense in ("", "permit", "cancel", "permit a b c d e f", notice + " x"):
                second.told(nonsense)

    run(case)


def test_scripts_are_loaded_again(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url)) as bench:
            desk = await bench.desk("w1")
            await desk.acquire(ask("a"))
            redis.script_flush()
            tasks = await queue(desk, ask("b"))
            redis.script_flush()
            desk.release(AGENT, "run", "a")
            await tasks["b"]

    run(case)


@pytest.mark.parametrize("trouble", ["lose request", "lose reply"])
def test_what_may_be_lost_is_said_again(redis_url: str, redis: Any, trouble: str) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            desk, other = await bench.desk("w1"), await bench.desk("w2")
            await asyncio.gather(executed(desk), bench.look())
            wire = Trouble(desk)
            wire.coming = [trouble] * 2
            await desk.acquire(ask("a"))
            tasks = await queue(other, ask("b"))
            wire.coming = [trouble] * 2
            desk.release(AGENT, "run", "a")
            await tasks["b"]
            await executed(desk)
            assert await held(other) == ["b"]

    run(case)


def test_a_request_that_arrives_late_changes_nothing(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            desk = await bench.desk("w1")
            await executed(desk)
            wire = Trouble(desk)
            await desk.acquire(ask("a"))
            desk.release(AGENT, "run", "a")
            await executed(desk)
            await wire.deliver_again(-1)  # the ask, and no longer its release
            assert (await held(desk), await waiting(desk)) == ([], [])

    run(case)


def test_a_grant_in_a_lost_reply_is_told_again(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            desk = await bench.desk("w1")
            await desk.acquire(ask("a"))
            tasks = await queue(desk, ask("b"))
            wire = Trouble(desk)
            redis.flushall()
            wire.coming = ["", "", "lose reply"]
            desk.release(AGENT, "run", "a")
            await tasks["b"]
            assert wire.calls[:3] == ["batch", "open", "batch"]  # refused, new era, registered

    run(case)


def test_a_look_forgets_what_changed_hands(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            owner, executor = await bench.desk("w1"), await bench.desk("w2")
            await owner.acquire(ask("a"))
            await executor.acquire(ask("a"))
            executor.release(AGENT, "run", "a")
            await executed(executor)
            await owner.look()
            redis.flushall()  # the owner must not register what it does not have
            await asyncio.gather(bench.look(), executor.acquire(ask("b")))
            assert await held(owner) == ["b"]

    run(case)


def test_an_executor_whose_ask_was_swept_is_served_once_the_owner_gives_back(
    redis_url: str, redis: Any
) -> None:
    """Its lease had lapsed, it lived: meanwhile the owner has asked, and holds, anew."""

    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            other, owner = await bench.desk("w0"), await bench.desk("w1")
            executor = await bench.desk("w2")
            await other.acquire(ask("x"))
            sent, begun = acquire(owner, ask("a")), acquire(executor, ask("a"))
            await asyncio.gather(executed(owner), executed(executor))
            bench.living.discard("w2")
            await owner.look()  # sweeps
            await owner.look()  # misses its ask, which the executor had taken over
            await executed(owner)
            bench.living.add("w2")
            other.release(AGENT, "run", "x")
            await sent
            await executor.look()
            await executed(executor)
            assert not begun.done()
            owner.release(AGENT, "run", "a")
            await executed(owner)
            await executor.look()
            await begun
            assert await held(owner) == ["a"]

    run(case)


def test_a_cancelled_look_ends(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            desk = await bench.desk("w1")
            for turns in range(10):
                look = asyncio.create_task(desk.look())
                for _ in range(turns):
                    await asyncio.sleep(0)
                under_way = not look.done()
                look.cancel()
                await asyncio.wait({look})
                assert look.cancelled() or not under_way
            await desk.acquire(ask("a"))

    run(case)


def test_a_reporter_changes_nothing(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async def living() -> set[str]:
            raise AssertionError("a reporter needs no journal")

        async with opened(RedisBench(redis_url, looking=False)) as bench:
            reporter = RedisPermits(redis_url, "", living=living, log=bench.log)
            assert await reporter.report() == []
            assert redis.keys("*") == []
            await (await bench.desk("w1")).acquire(ask("a"))
            before = {key: redis.dump(key) for key in redis.keys("*")}
            assert [holder.step for holder in (await of(reporter)).holders] == ["a"]
            await reporter.close()
            assert {key: redis.dump(key) for key in redis.keys("*")} == before

    run(case)


def test_limits_that_did_not_change_cost_no_call(redis_url: str, redis: Any) -> None:
    async def case() -> None:
        async with opened(RedisBench(redis_url, looking=False)) as bench:
            desk = await bench.desk("w1")
            await desk.set_limits({AGENT: 3})
            wire = Trouble(desk)
            await desk.set_limits({AGENT: 3})
            assert wire.calls == []
            redis.flushall()
            await executed(desk)  # registers, and writes the limits again
            await desk.acquire(ask("a"))
            assert (await of(desk)).limit == 3

    run(case)


def test_the_cost_of_a_permit(redis_url: str, redis: Any, figure: Callable[[str], None]) -> None:
    async def case(limit: int) -> None:
        async with opened(RedisBench(redis_url)) as bench:
            desk = await bench.desk("w1")
            loop = asyncio.get_running_loop()
            began = loop.time()
            await work([desk], Gauge(), tasks=200, times=20, limit=limit, seconds=0)
            rate = 200 * 20 / (loop.time() - began)
            figure(f"200 tasks, limit {limit}: {rate:,.0f} permits/s")

    for limit in (8, 64, 1000):
        redis.flushall()
        run(partial(case, limit))
