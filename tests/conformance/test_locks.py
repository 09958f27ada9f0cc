"""What every implementation of the lock port must do; on Redis between two processes' locks."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import structlog
from redis import Redis

from envelope.errors import InvalidInput, LockHeld
from envelope.ports.locks import Locks
from worker.coordination.locks.in_process import InProcessLocks
from worker.coordination.locks.redis_locks import RedisLocks

PATIENCE = 20.0
Pair = Callable[[], AbstractAsyncContextManager[tuple[Locks, Locks]]]


async def nobody_else() -> bool:
    return True


@pytest.fixture(params=["in_process", "redis"])
def pair(request: pytest.FixtureRequest) -> Pair:
    @asynccontextmanager
    async def in_process() -> AsyncIterator[tuple[Locks, Locks]]:
        locks = InProcessLocks()
        yield locks, locks
        await locks.close()

    @asynccontextmanager
    async def on_redis() -> AsyncIterator[tuple[Locks, Locks]]:
        url = request.getfixturevalue("redis_url")
        with Redis.from_url(url) as redis:
            redis.flushall()
        log = structlog.get_logger()
        one = RedisLocks(url, "one:1", log=log, alone=nobody_else)
        two = RedisLocks(url, "two:2", log=log, alone=nobody_else)
        yield one, two
        await one.close()
        await two.close()

    if request.param == "redis":
        request.getfixturevalue("redis_url")
        return on_redis
    return in_process


def check(pair: Pair, test: Callable[[Locks, Locks], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(PATIENCE), pair() as (one, two):
            await test(one, two)

    asyncio.run(run())


async def waits(locks: Locks, task: asyncio.Task[object]) -> None:
    """Let a task come to stand in line: on Redis after a call or two."""
    for _ in range(5):
        await locks.check("another")
        await asyncio.sleep(0)
    assert not task.done()


def test_one_owner_at_a_time(pair: Pair) -> None:
    async def test(one: Locks, two: Locks) -> None:
        before = time.time()
        info = await one.acquire("k", owner="a", why="the nightly run", metadata={"run": "7"})
        assert (info.key, info.owner, info.why, info.metadata) == (
            "k",
            "a",
            "the nightly run",
            {"run": "7"},
        )
        assert abs(info.since - before) < PATIENCE
        assert 0 < info.expires_in <= 900
        with pytest.raises(LockHeld) as caught:
            await two.acquire("k", owner="b")
        for part in ("'k'", info.holder, "the nightly run", "since 20"):
            assert part in str(caught.value)
        assert (await two.acquire("other", owner="b")).key == "other"

    check(pair, test)


def test_the_same_owner_has_it_at_once_with_a_higher_fence(pair: Pair) -> None:
    async def test(one: Locks, two: Locks) -> None:
        first = await one.acquire("k", owner="a", why="first")
        again = await one.acquire("k", owner="a", why="again")
        moved = await two.acquire("k", owner="a", why="resumed elsewhere")
        assert first.fence < again.fence < moved.fence
        assert first.since == again.since == moved.since
        found = await one.check("k")
        assert found is not None
        assert (found.fence, found.why) == (moved.fence, "resumed elsewhere")

    check(pair, test)


def test_fences_rise_from_key_to_key(pair: Pair) -> None:
    async def test(one: Locks, two: Locks) -> None:
        fences = []
        for number in range(20):
            locks = (one, two)[number % 2]
            fences.append((await locks.acquire(f"k{number % 3}", owner="a")).fence)
            await locks.release(f"k{number % 3}", "a")
        assert fences == sorted(set(fences))

    check(pair, test)


def test_only_the_owner_releases(pair: Pair) -> None:
    async def test(one: Locks, two: Locks) -> None:
        await one.acquire("k", owner="a")
        assert not await two.release("k", "b")
        found = await two.check("k")
        assert found is not None
        assert found.owner == "a"
        assert await one.release("k", "a")
        assert not await one.release("k", "a")
        assert await one.check("k") is None
        assert not await one.held()

    check(pair, test)


def test_a_waiter_has_it_as_soon_as_it_is_released(pair: Pair) -> None:
    async def test(one: Locks, two: Locks) -> None:
        late = []
        await one.acquire("k", owner="a0")
        for number in range(3):
            waiter = asyncio.create_task(two.acquire("k", owner=f"b{number}", wait=None))
            await waits(one, waiter)
            begin = time.monotonic()
            await one.release("k", f"a{number}")
            assert (await waiter).owner == f"b{number}"
            late.append(time.monotonic() - begin)
            await two.release("k", f"b{number}")
            await one.acquire("k", owner=f"a{number + 1}")
        assert min(late) < 0.3, "the notice, not the look, woke it"

    check(pair, test)


def test_waiters_have_it_in_the_order_of_asking(pair: Pair) -> None:
    async def test(one: Locks, two: Locks) -> None:
        await one.acquire("k", owner="first")
        order: list[int] = []

        async def wait(number: int) -> None:
            locks = (one, two)[number % 2]
            await locks.acquire("k", owner=f"w{number}", wait=None)
            order.append(number)
            await locks.release("k", f"w{number}")

        tasks = []
        for number in range(6):
            tasks.append(asyncio.create_task(wait(number)))
            await waits(one, tasks[-1])
        await one.release("k", "first")
        await asyncio.gather(*tasks)
        assert order == list(range(6))

    check(pair, test)


def test_who_does_not_wait_does_not_overtake(pair: Pair) -> None:
    async def test(one: Locks, two: Locks) -> None:
        await one.acquire("k", owner="a")
        waiter = asyncio.create_task(two.acquire("k", owner="b", wait=None))
        await waits(one, waiter)
        await one.release("k", "a")
        with pytest.raises(LockHeld):
            await one.acquire("k", owner="hasty")
        assert (await waiter).owner == "b"

    check(pair, test)


def test_a_wait_ends_with_the_name_of_the_holder(pair: Pair) -> None:
    async def test(one: Locks, two: Locks) -> None:
        info = await one.acquire("k", owner="a", why="slow work")
        begin = time.monotonic()
        with pytest.raises(LockHeld, match="slow work") as caught:
            await two.acquire("k", owner="b", wait=0.2)
        assert info.holder in str(caught.value)
        assert 0.2 <= time.monotonic() - begin < PATIENCE / 2
        await one.release("k", "a")
        assert (await one.acquire("k", owner="c")).owner == "c", "nobody stands in line any more"

    check(pair, test)


def test_a_cancelled_waiter_leaves_the_line(pair: Pair) -> None:
    async def test(one: Locks, two: Locks) -> None:
        await one.acquire("k", owner="a")
        gone = asyncio.create_task(two.acquire("k", owner="b", wait=None))
        await waits(one, gone)
        stays = asyncio.create_task(one.acquire("k", owner="c", wait=None))
        await waits(one, stays)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        await one.release("k", "a")
        assert (await stays).owner == "c"

    check(pair, test)


@pytest.mark.parametrize("turns", range(12))
def test_whenever_a_caller_is_cancelled_it_holds_nothing(pair: Pair, turns: int) -> None:
    async def test(one: Locks, two: Locks) -> None:
        await one.acquire("warm", owner="up")
        begun = asyncio.create_task(one.acquire("k", owner="a", wait=1))
        for _ in range(turns):
            await asyncio.sleep(0)
        begun.cancel()
        (outcome,) = await asyncio.gather(begun, return_exceptions=True)
        if isinstance(outcome, asyncio.CancelledError):
            assert (await two.acquire("k", owner="b", wait=5)).owner == "b"
        else:
            assert await one.release("k", "a")

    check(pair, test)


def test_nobody_is_inside_together(pair: Pair) -> None:
    async def test(one: Locks, two: Locks) -> None:
        inside = 0
        most = 0

        async def work(number: int) -> None:
            nonlocal inside, most
            locks = (one, two)[number % 2]
            await locks.acquire("k", owner=str(number), wait=None)
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1
            await locks.release("k", str(number))

        await asyncio.gather(*(work(number) for number in range(60)))
        assert most == 1

    check(pair, test)


def test_keys_that_look_alike_are_different_locks(pair: Pair) -> None:
    keys = [
        "a:b",
        "a%3Ab",
        "a*",
        "a",
        "era",
        "muster:lock:a",
        "ключ:鍵:🔒",
        " a",
        "a ",
        "A",
        "a\x00b",
    ]

    async def test(one: Locks, two: Locks) -> None:
        for number, key in enumerate(keys):
            await one.acquire(key, owner=f"o{number}")
        found = await two.held()
        assert [info.key for info in found] == sorted(keys)
        assert {info.owner for info in found} == {f"o{number}" for number in range(len(keys))}
        for number, key in enumerate(keys):
            with pytest.raises(LockHeld):
                await two.acquire(key, owner="x")
            assert await one.release(key, f"o{number}")
        assert not await two.held()

    check(pair, test)


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": ""},
        {"key": "k" * 5_000},
        {"key": "\ud800"},
        {"key": 7},
        {"owner": ""},
        {"owner": None},
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": math.nan},
        {"ttl": math.inf},
        {"ttl": "900"},
        {"ttl": True},
        {"wait": -0.1},
        {"wait": math.nan},
        {"wait": "for ever"},
        {"why": None},
        {"why": "\udfff"},
        {"metadata": {"a": 1}},
        {"metadata": {1: "a"}},
        {"metadata": {"a": "x" * 20_000}},
    ],
    ids=lambda wrong: "-".join(f"{name}={value!r:.20}" for name, value in wrong.items()),
)
def test_senseless_arguments_are_refused_and_change_nothing(
    pair: Pair, wrong: dict[str, object]
) -> None:
    async def test(one: Locks, two: Locks) -> None:
        arguments: dict[str, object] = {"key": "k", "owner": "a", **wrong}
        with pytest.raises(InvalidInput):
            await one.acquire(**arguments)  # type: ignore[arg-type]
        assert not await two.held()

    check(pair, test)


def test_a_lock_that_is_held_or_released_is_not_lost(pair: Pair) -> None:
    async def test(one: Locks, two: Locks) -> None:
        assert not one.lost("k", "a"), "it was never acquired"
        await one.acquire("k", owner="a")
        watch = asyncio.create_task(one.until_lost("k", "a"))
        await waits(one, watch)
        assert not one.lost("k", "a")
        assert not two.lost("k", "b")
        await one.release("k", "a")
        await two.acquire("k", owner="b")
        await waits(one, watch)
        assert not one.lost("k", "a")
        watch.cancel()

    check(pair, test)
