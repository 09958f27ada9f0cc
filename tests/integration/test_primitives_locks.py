"""The public lock primitives, from threads and from event loops, on a real Redis."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from control.primitives import (
    HeldLock,
    LockHeld,
    LockLost,
    acquire_lock,
    aio,
    check_lock,
    close,
    configure,
    lock_key,
    release_lock,
    with_lock,
)
from envelope.errors import InvalidInput, QueueUnavailable
from tests.services.redis_server import PrivateRedis
from tests.services.waiting import wait_until
from worker.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        client.hset("muster:locks:era", mapping={"id": "1", "opens": "0"})
        configure(Settings.load(redis_url=redis_url))
        yield client
        close()


def steal(redis: Redis, key: str) -> None:
    """Make the lock another's, as after a term without renewals."""
    redis.hset(f"muster:lock:{key}", "owner", "a thief")


def test_acquire_check_and_release() -> None:
    held = acquire_lock("job", ttl=60, why="the night", metadata={"table": "leads"})
    found = check_lock("job")
    assert found is not None
    assert (found.owner, found.fence, found.why) == (held.owner, held.fence, "the night")
    assert found.metadata == held.metadata == {"table": "leads"}
    assert found.holder.endswith(f":{os.getpid()}")
    with pytest.raises(LockHeld, match="the night"):
        acquire_lock("job")
    wait_until(lambda: held.held_seconds > 0.05, 5, "time passes")
    assert release_lock(held)
    assert held.released
    assert held.held_seconds == held.held_seconds
    assert check_lock("job") is None
    assert not release_lock(held), "twice is once"
    assert held.released


def test_a_block_holds_the_lock_and_lets_go_whatever_happens() -> None:
    with with_lock("job") as held:
        assert isinstance(held, HeldLock)
        assert not held.lost
        held.ensure_held()
        assert check_lock("job") is not None
        with pytest.raises(LockHeld), with_lock("job"):
            pass
    assert check_lock("job") is None
    with pytest.raises(KeyError), with_lock("job"):
        raise KeyError
    assert check_lock("job") is None


def test_fences_rise() -> None:
    fences = []
    for _ in range(5):
        with with_lock(lock_key("job:{id}", id="a:b")) as held:
            fences.append(held.fence)
    assert fences == sorted(set(fences))


def test_the_same_in_a_coroutine() -> None:
    async def main() -> None:
        async with aio.with_lock("job", why="async") as held:
            found = await aio.check_lock("job")
            assert found is not None
            assert found.fence == held.fence
            with pytest.raises(LockHeld):
                await aio.acquire_lock("job")
        assert await aio.check_lock("job") is None
        held = await aio.acquire_lock("job")
        assert await aio.release_lock(held)

    asyncio.run(main())
    asyncio.run(main())  # another loop in the same process


def test_a_lock_may_be_released_where_it_was_not_acquired() -> None:
    held = acquire_lock("job")
    assert asyncio.run(aio.release_lock(held))
    held = asyncio.run(aio.acquire_lock("job"))
    assert release_lock(held)


def test_functions_hold_it_during_each_call() -> None:
    @with_lock("job", why="decorated")
    def count(n: int) -> int:
        assert check_lock("job") is not None
        return n + 1

    @with_lock("job")
    async def count_too(n: int) -> int:
        assert await aio.check_lock("job") is not None
        return n + 1

    assert [count(1), count(2)] == [2, 3]
    assert asyncio.run(count_too(1)) == 2
    assert count.__name__ == "count"
    assert check_lock("job") is None


def test_threads_take_turns_while_an_event_loop_runs_elsewhere() -> None:
    inside = 0
    most = 0

    def work(_: int) -> None:
        nonlocal inside, most
        with with_lock("job", wait=30):
            inside += 1
            most = max(most, inside)
            time.sleep(0.001)
            inside -= 1

    async def beside(stop: threading.Event) -> int:
        turns = 0
        while not stop.is_set():
            async with aio.with_lock("another", wait=10):
                turns += 1
        return turns

    async def main() -> int:
        stop = threading.Event()
        turns = asyncio.create_task(beside(stop))
        with ThreadPoolExecutor(8) as threads:
            loop = asyncio.get_running_loop()
            jobs = [loop.run_in_executor(threads, work, n) for n in range(40)]
            await asyncio.gather(*jobs)
        stop.set()
        return await turns

    assert asyncio.run(main()) > 1
    assert most == 1


def test_a_lock_is_renewed_while_its_caller_blocks_everything() -> None:
    async def main() -> None:
        async with aio.with_lock("job", ttl=0.6) as held:
            time.sleep(1.5)  # noqa: ASYNC251 - blocks the loop on purpose
            assert not held.lost

    asyncio.run(main())
    with with_lock("job", ttl=0.6) as held:
        time.sleep(1.5)
        held.ensure_held()


def test_a_blocking_body_that_lost_its_lock_does_not_end_well(redis: Redis) -> None:
    scope = with_lock("job", ttl=0.6)
    held = scope.__enter__()
    steal(redis, "job")
    wait_until(lambda: held.lost, 5, "the loss is noticed")
    with pytest.raises(LockLost):
        held.ensure_held()
    with pytest.raises(LockLost, match="'job'"):
        scope.__exit__(None, None, None)
    assert held.lost
    assert not held.released
    assert redis.hget("muster:lock:job", "owner") == "a thief", "the other's lock stays"
    with pytest.raises(LockLost), with_lock("job2", ttl=600):
        steal(redis, "job2")  # lost, and nothing had noticed it by the end


def test_the_bodys_own_error_goes_first(redis: Redis) -> None:
    def body() -> None:
        with with_lock("job"):
            steal(redis, "job")
            raise KeyError

    with pytest.raises(KeyError):
        body()


def test_an_awaiting_body_that_lost_its_lock_is_cancelled(redis: Redis) -> None:
    async def main() -> str:
        try:
            async with aio.with_lock("job", ttl=0.6):
                await asyncio.to_thread(steal, redis, "job")
                await asyncio.sleep(60)
        except LockLost:
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            await asyncio.sleep(0)  # the task lives on
            return "lost"
        return "ended"

    begin = time.monotonic()
    assert asyncio.run(main()) == "lost"
    assert time.monotonic() - begin < 5


def test_a_cancellation_from_outside_stays_one(redis: Redis) -> None:
    async def main() -> None:
        inside = asyncio.Event()

        async def body() -> None:
            async with aio.with_lock("job"):
                inside.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(body())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await aio.check_lock("job") is None

    asyncio.run(main())


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 8, 20, 100])
def test_a_caller_that_is_cancelled_while_it_acquires_leaves_no_lock(turns: int) -> None:
    async def main() -> None:
        await aio.check_lock("warm")
        task = asyncio.create_task(aio.acquire_lock("job", ttl=600))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(outcome, HeldLock):
            await aio.release_lock(outcome)
        await aio.release_lock(await aio.acquire_lock("job", wait=5))

    asyncio.run(main())


def test_senseless_arguments_are_refused() -> None:
    for wrong in ({"key": ""}, {"key": "k", "ttl": -1}, {"key": "k", "wait": float("nan")}):
        with pytest.raises(InvalidInput):
            acquire_lock(**wrong)  # type: ignore[arg-type]


def test_a_scope_is_for_one_block_at_a_time() -> None:
    scope = with_lock("job")
    with scope, pytest.raises(RuntimeError, match="in use"), scope:
        pass
    with scope:
        pass


def test_redis_away_is_a_typed_error() -> None:
    configure(Settings.load(redis_url="redis://127.0.0.1:1/0"))
    with pytest.raises(QueueUnavailable), with_lock("job", wait=5):
        pass
    with pytest.raises(QueueUnavailable):
        asyncio.run(aio.acquire_lock("job"))


def test_redis_away_at_the_end_does_not_undo_the_work() -> None:
    server = PrivateRedis().start()
    try:
        with Redis.from_url(server.url) as client:
            client.hset("muster:locks:era", mapping={"id": "1", "opens": "0"})
        configure(Settings.load(redis_url=server.url))
        with with_lock("job") as held:
            server.kill()
        assert not held.lost
    finally:
        close()
        server.close()


PROGRAM = """
import os, sys
from control.primitives import acquire_lock, check_lock, with_lock

with with_lock("job", wait=20) as held:
    child = os.fork()
    if child == 0:
        with with_lock("of the child", wait=20):
            holder = check_lock("of the child").holder
        os._exit(0 if holder.endswith(f":{os.getpid()}") else 1)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), held.lost, check_lock("job").fence == held.fence)
acquire_lock("forgotten")
"""


@pytest.mark.parametrize("embedded", [True, False])
def test_a_plain_program_and_its_forked_child(
    tmp_path: Path, redis_url: str, embedded: bool
) -> None:
    environment = {**os.environ, "MUSTER_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)}
    if not embedded:
        environment["MUSTER_REDIS_URL"] = redis_url
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    done: Any = subprocess.run(
        command,
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "0 False True\n"), done.stderr
    assert not done.stderr, "it ends without a word"
