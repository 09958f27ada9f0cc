"""Locks on Redis: terms, renewal, flushes, outages, one process that takes over from another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis as sync_redis
import structlog

from envelope.errors import JournalUnavailable, LockHeld, QueueUnavailable
from tests.services.redis_server import PrivateRedis
from tests.services.waiting import wait_until
from worker.coordination.locks.redis_locks import RedisLocks

PATIENCE = 20.0
RENEW = 0.2
GRACE = 2 * RENEW + 1


async def nobody_else() -> bool:
    return True


async def somebody_else() -> bool:
    return False


async def journal_away() -> bool:
    raise JournalUnavailable("away")


@pytest.fixture
def empty(redis_url: str) -> Iterator[sync_redis.Redis]:
    with sync_redis.Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def given_out(empty: sync_redis.Redis) -> sync_redis.Redis:
    """A Redis that has been in use for long."""
    empty.hset("muster:locks:era", mapping={"id": "1", "opens": "0"})
    return empty


@asynccontextmanager
async def processes(
    url: str, count: int = 2, **options: Any
) -> AsyncIterator[tuple[RedisLocks, ...]]:
    options = {"renew_seconds": RENEW, **options}
    log = structlog.get_logger()
    made = tuple(RedisLocks(url, f"host:{n}", log=log, **options) for n in range(count))
    try:
        yield made
    finally:
        for locks in made:
            await locks.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(PATIENCE):
            await work()

    asyncio.run(timed())


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE / 2
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        await asyncio.sleep(0.01)


def test_a_lock_outlives_its_term_as_long_as_its_process(
    redis_url: str, given_out: sync_redis.Redis
) -> None:
    async def work() -> None:
        async with processes(redis_url) as (one, two):
            first = await one.acquire("k", owner="a", ttl=0.4)
            with pytest.raises(LockHeld):
                await two.acquire("k", owner="b", wait=1.5)
            found = await one.check("k")
            assert found is not None
            assert found.fence == first.fence
            assert not one.lost("k", "a")

    run(work)


def test_locks_are_renewed_in_one_call(redis_url: str, given_out: sync_redis.Redis) -> None:
    async def work() -> None:
        async with processes(redis_url) as (one, two):
            for number in range(50):
                await one.acquire(f"k{number}", owner="a", ttl=900)
            before = given_out.info("commandstats")["cmdstat_evalsha"]["calls"]
            given_out.pexpire("muster:lock:k49", 500)
            await until(lambda: given_out.pttl("muster:lock:k49") > 1_000, "k49 is renewed")
            calls = given_out.info("commandstats")["cmdstat_evalsha"]["calls"] - before
            assert calls <= 4
            assert min(given_out.pttl(f"muster:lock:k{n}") for n in range(50)) > 890_000
            assert not await two.release("k0", "b")

    run(work)


def test_a_dead_owners_lock_goes_to_the_next_within_a_second_of_its_term(
    redis_url: str, given_out: sync_redis.Redis
) -> None:
    async def work() -> None:
        async with processes(redis_url) as (one, two):
            await one.acquire("k", owner="a", ttl=1)
            waiter = asyncio.create_task(two.acquire("k", owner="b", wait=None))
            begin = time.monotonic()
            await one.close()
            await waiter
            assert time.monotonic() - begin < 1 + 1 + 0.5
            assert not await two.release("k", "a"), "a late release frees nothing"
            found = await two.check("k")
            assert found is not None
            assert found.owner == "b"

    run(work)


def test_an_expired_lock_is_lost_for_its_owner_even_if_nobody_took_it(
    redis_url: str, given_out: sync_redis.Redis
) -> None:
    async def work() -> None:
        async with processes(redis_url) as (one, two):
            await one.acquire("k", owner="a")
            given_out.delete("muster:lock:k")  # as an expiry does it
            await one.until_lost("k", "a")
            assert one.lost("k", "a")
            assert await two.check("k") is None, "it is not put back: somebody may have had it"
            assert not await one.release("k", "a")
            assert not one.lost("k", "a"), "released is not lost"

    run(work)


def test_an_owner_learns_that_another_has_its_lock(
    redis_url: str, given_out: sync_redis.Redis
) -> None:
    async def work() -> None:
        async with processes(redis_url) as (one, two):
            await one.acquire("k", owner="a")
            given_out.delete("muster:lock:k")
            await two.acquire("k", owner="b")
            await one.until_lost("k", "a")
            assert not await one.release("k", "a")
            found = await one.check("k")
            assert found is not None
            assert found.owner == "b"

    run(work)


def test_a_run_that_moved_keeps_its_lock_when_its_old_process_lets_go(
    redis_url: str, given_out: sync_redis.Redis
) -> None:
    async def work() -> None:
        async with processes(redis_url) as (old, new):
            await old.acquire("k", owner="run-7")
            await new.acquire("k", owner="run-7")
            await old.until_lost("k", "run-7")
            assert not await old.release("k", "run-7")
            found = await new.check("k")
            assert found is not None
            assert not new.lost("k", "run-7")
            assert await new.release("k", "run-7")

    run(work)


def test_a_dead_waiter_blocks_nobody_for_long(redis_url: str, given_out: sync_redis.Redis) -> None:
    async def work() -> None:
        async with processes(redis_url) as (one, two):
            await one.acquire("k", owner="a")
            soon = (time.time() + 3) * 1_000
            given_out.zadd("muster:lock-queue:k", {"killed-process/1": 1})
            given_out.zadd("muster:lock-waiters:k", {"killed-process/1": soon})
            waiter = asyncio.create_task(two.acquire("k", owner="b", wait=None))
            await until(lambda: given_out.zcard("muster:lock-queue:k") == 2, "both stand in line")
            await one.release("k", "a")
            begin = time.monotonic()
            with pytest.raises(LockHeld, match="waiting: 2"):
                await one.acquire("k", owner="hasty")
            await waiter
            assert time.monotonic() - begin < 3 + 1 + 0.5

    run(work)


def test_a_lost_notice_costs_a_second(redis_url: str, given_out: sync_redis.Redis) -> None:
    async def work() -> None:
        async with processes(redis_url) as (one, two):
            await one.acquire("k", owner="a")
            waiter = asyncio.create_task(two.acquire("k", owner="b", wait=None))
            await until(lambda: given_out.zcard("muster:lock-queue:k") == 1, "it stands in line")
            given_out.delete("muster:lock:k", "muster:locks")  # released, and nobody was told
            begin = time.monotonic()
            await waiter
            assert time.monotonic() - begin < 2

    run(work)


def test_a_flush_takes_no_lock_from_its_owner(redis_url: str, given_out: sync_redis.Redis) -> None:
    async def work() -> None:
        async with processes(redis_url) as (one, two):
            first = await one.acquire("k", owner="a", why="w", metadata={"a": "1"})
            thief = asyncio.create_task(two.acquire("k", owner="b", wait=None))
            for _ in range(3):
                given_out.flushall()
                with pytest.raises(LockHeld):
                    await two.acquire("k", owner="hasty")
                await until(lambda: given_out.exists("muster:lock:k") == 1, "the lock is back")
            await asyncio.sleep(GRACE + 1)  # nothing to wait for: the thief must go on waiting
            assert not thief.done()
            assert not one.lost("k", "a")
            found = await two.check("k")
            assert found is not None
            assert (found.owner, found.fence, found.since, found.why, found.metadata) == (
                "a",
                first.fence,
                first.since,
                "w",
                {"a": "1"},
            )
            assert await one.release("k", "a")
            assert (await thief).fence > first.fence

    run(work)


def test_after_a_flush_new_locks_wait_for_the_grace(
    redis_url: str, given_out: sync_redis.Redis
) -> None:
    async def work() -> None:
        async with processes(redis_url, alone=nobody_else) as (one, _):
            before = await one.acquire("k", owner="a")
            await one.release("k", "a")
            given_out.flushall()
            begin = time.monotonic()
            with pytest.raises(LockHeld, match="Redis is new or was flushed") as caught:
                await one.acquire("k", owner="a")
            assert caught.value.retry_after is not None
            assert GRACE - 0.2 < caught.value.retry_after <= GRACE
            after = await one.acquire("k", owner="a", wait=None)
            assert GRACE - 0.1 < time.monotonic() - begin < GRACE + 1.5
            assert after.fence > before.fence, "the fence rises across a flush"

    run(work)


def test_the_order_of_asking_survives_a_flush(redis_url: str, given_out: sync_redis.Redis) -> None:
    async def work() -> None:
        async with processes(redis_url) as (one, two):
            await one.acquire("k", owner="a")
            order: list[str] = []

            async def wait(locks: RedisLocks, owner: str) -> None:
                await locks.acquire("k", owner=owner, wait=None)
                order.append(owner)
                await locks.release("k", owner)

            tasks = []
            for number, locks in enumerate((two, one, two)):
                tasks.append(asyncio.create_task(wait(locks, f"w{number}")))
                await until(lambda: given_out.zcard("muster:lock-queue:k") == len(tasks), "in line")
            given_out.flushall()
            await until(lambda: given_out.zcard("muster:lock-queue:k") == 3, "in line again")
            await one.release("k", "a")
            await asyncio.gather(*tasks)
            assert order == ["w0", "w1", "w2"]

    run(work)


def test_fences_rise_even_where_redis_forgot_them_and_its_clock_went_back(
    redis_url: str, given_out: sync_redis.Redis
) -> None:
    async def work() -> None:
        async with processes(redis_url) as (one, _):
            ahead = int(time.time() * 1e6) + 10**12
            given_out.set("muster:fence", ahead)
            first = await one.acquire("k", owner="a")
            assert first.fence == ahead + 1
            given_out.delete("muster:fence")
            assert (await one.acquire("k2", owner="a")).fence == ahead + 2

    run(work)


@pytest.mark.parametrize("alone", [somebody_else, journal_away, None])
def test_a_new_redis_gives_nothing_out_at_first(
    redis_url: str, empty: sync_redis.Redis, alone: Any
) -> None:
    async def work() -> None:
        async with processes(redis_url, alone=alone) as (one, two):
            with pytest.raises(LockHeld, match="Redis is new"):
                await one.acquire("k", owner="a")
            with pytest.raises(LockHeld, match="Redis is new"):
                await two.acquire("k", owner="b", wait=0.1)
            assert (await one.acquire("k", owner="a", wait=None)).owner == "a"

    run(work)


def test_who_is_alone_has_locks_of_a_new_redis_at_once(
    redis_url: str, empty: sync_redis.Redis
) -> None:
    async def work() -> None:
        async with processes(redis_url, 1, alone=nobody_else) as (one,):
            many = [one.acquire(f"k{number}", owner="a") for number in range(20)]
            assert len(await asyncio.gather(*many)) == 20

    run(work)


def test_a_newcomer_that_is_alone_takes_no_lock_that_was_put_back(
    redis_url: str, given_out: sync_redis.Redis
) -> None:
    async def work() -> None:
        async with (
            processes(redis_url, 1) as (program,),
            processes(redis_url, 1, alone=nobody_else) as (worker,),
        ):
            await program.acquire("k", owner="a")
            given_out.flushall()
            await until(lambda: given_out.exists("muster:lock:k") == 1, "the lock is back")
            with pytest.raises(LockHeld, match="held by"):
                await worker.acquire("k", owner="b")

    run(work)


def test_after_a_flush_the_last_owner_goes_first(
    redis_url: str, given_out: sync_redis.Redis
) -> None:
    async def work() -> None:
        async with processes(redis_url, renew_seconds=100) as (old, new):
            await old.acquire("k", owner="run-7")
            moved = await new.acquire("k", owner="run-7")
            await old.acquire("k2", owner="a")
            given_out.delete("muster:lock:k2")
            await new.acquire("k2", owner="b")
            given_out.flushall()
            await old._renewal.renew()
            await new._renewal.renew()
            await old._renewal.renew()
            assert (old.lost("k", "run-7"), new.lost("k", "run-7")) == (True, False)
            assert (old.lost("k2", "a"), new.lost("k2", "b")) == (True, False)
            found = await new.check("k")
            assert found is not None
            assert found.fence == moved.fence

    run(work)


def test_who_comes_too_late_after_a_flush_has_lost_it(
    redis_url: str, given_out: sync_redis.Redis
) -> None:
    async def work() -> None:
        async with processes(redis_url, renew_seconds=100) as (one, two):
            await one.acquire("k", owner="a")
            given_out.flushall()
            with pytest.raises(LockHeld):
                await two.acquire("k", owner="b")
            given_out.hset("muster:locks:era", "opens", "0")
            await one._renewal.renew()
            assert one.lost("k", "a")
            assert (await two.acquire("k", owner="b")).owner == "b"

    run(work)


def test_a_lock_that_vanishes_within_the_grace_is_not_put_back_twice(
    redis_url: str, given_out: sync_redis.Redis
) -> None:
    async def work() -> None:
        async with processes(redis_url, renew_seconds=100) as (one, _):
            await one.acquire("k", owner="a")
            given_out.flushall()
            await one._renewal.renew()
            given_out.delete("muster:lock:k")
            await one._renewal.renew()
            assert one.lost("k", "a")
            assert not given_out.exists("muster:lock:k")

    run(work)


def test_a_lock_comes_not_back_after_its_release(
    redis_url: str, given_out: sync_redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with processes(redis_url, renew_seconds=100) as (one, _):
            await one.acquire("k", owner="a")
            run_script = one._scripts.run

            async def released_meanwhile(name: str, *rest: Any) -> Any:
                if name == "restore":
                    await one.release("k", "a")
                return await run_script(name, *rest)

            monkeypatch.setattr(one._scripts, "run", released_meanwhile)
            given_out.flushall()
            await one._renewal.renew()
            await until(lambda: given_out.exists("muster:lock:k") == 0, "it goes again")

    run(work)


def test_redis_away_is_a_typed_error_that_says_what_to_do() -> None:
    async def work() -> None:
        async with processes("redis://:hush-hush@127.0.0.1:1/0", 1) as (one,):
            for ask in (one.acquire("k", owner="a", wait=5), one.check("k"), one.held()):
                with pytest.raises(QueueUnavailable, match="MUSTER_REDIS_URL") as caught:
                    await ask
                assert "hush" not in str(caught.value)

    run(work)


@pytest.fixture
def own_redis() -> Iterator[PrivateRedis]:
    server = PrivateRedis("--appendfsync", "always").start()
    with sync_redis.Redis.from_url(server.url) as client:
        client.hset("muster:locks:era", mapping={"id": "1", "opens": "0"})
    yield server
    server.close()


def test_a_lock_is_lost_when_redis_stays_away_for_its_term(own_redis: PrivateRedis) -> None:
    async def work() -> None:
        async with processes(own_redis.url, 1) as (one,):
            await one.acquire("short", owner="a", ttl=1)
            await one.acquire("long", owner="a", ttl=900)
            begin = time.monotonic()
            own_redis.kill()
            await one.until_lost("short", "a")
            assert 0.5 < time.monotonic() - begin < 1.5
            assert one.lost("short", "a")
            assert not one.lost("long", "a")

    run(work)


def test_a_paused_redis_makes_the_owner_lose_it_in_time(own_redis: PrivateRedis) -> None:
    async def work() -> None:
        async with processes(own_redis.url, 1) as (one,):
            await one.acquire("k", owner="a", ttl=1)
            own_redis.pause()
            begin = time.monotonic()
            await one.until_lost("k", "a")
            assert time.monotonic() - begin < 1.5, "not only when the network gives up"
            own_redis.resume()
            await until(own_redis.answers, "it answers")
            assert one.lost("k", "a"), "once lost, always lost"

    run(work)


def test_locks_and_waiters_outlive_a_restart_of_redis(own_redis: PrivateRedis) -> None:
    async def work() -> None:
        async with processes(own_redis.url) as (one, two):
            first = await one.acquire("k", owner="a", ttl=900)
            waiter = asyncio.create_task(two.acquire("k", owner="b", wait=None))
            await asyncio.sleep(0.1)
            own_redis.kill()
            await asyncio.to_thread(own_redis.start)
            found = await one.check("k")
            assert found is not None
            assert found.fence == first.fence
            assert not waiter.done()
            assert await one.release("k", "a")
            assert (await waiter).fence > first.fence

    run(work)


def test_what_was_released_while_redis_was_away_is_released_later(own_redis: PrivateRedis) -> None:
    async def work() -> None:
        async with processes(own_redis.url) as (one, two):
            await one.acquire("k", owner="a", ttl=900)
            own_redis.kill()
            with pytest.raises(QueueUnavailable):
                await one.release("k", "a")
            await asyncio.to_thread(own_redis.start)
            assert (await two.acquire("k", owner="b", wait=10)).owner == "b"

    run(work)


def test_an_ask_whose_answer_was_lost_leaves_no_lock(own_redis: PrivateRedis) -> None:
    async def work() -> None:
        async with processes(own_redis.url) as (one, two):
            await one.check("warm")
            own_redis.pause()
            with pytest.raises(QueueUnavailable):
                await one.acquire("k", owner="a", ttl=900)
            own_redis.resume()  # and the server now reads what it was sent
            assert (await two.acquire("k", owner="b", wait=10)).owner == "b"

    run(work)


def test_the_index_forgets_what_lapsed(redis_url: str, given_out: sync_redis.Redis) -> None:
    async def work() -> None:
        async with processes(redis_url) as (one, two):
            await one.acquire("short", owner="a", ttl=0.3)
            await two.acquire("long", owner="b")
            await one.close()
            wait_until(lambda: not given_out.exists("muster:lock:short"), 5, "it lapses")
            assert [info.key for info in await two.held()] == ["long"]
            assert given_out.zcard("muster:locks") == 1

    run(work)


def test_closed_locks_say_so(redis_url: str, given_out: sync_redis.Redis) -> None:
    async def work() -> None:
        async with processes(redis_url) as (one, two):
            await one.acquire("k", owner="a")
            waiter = asyncio.create_task(two.acquire("k", owner="b", wait=None))
            await until(lambda: given_out.zcard("muster:lock-queue:k") == 1, "it stands in line")
            await two.close()
            with pytest.raises(RuntimeError, match="closed"):
                await waiter
            with pytest.raises(RuntimeError, match="closed"):
                await two.acquire("other", owner="b")

    run(work)
