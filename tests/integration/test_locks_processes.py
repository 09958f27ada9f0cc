"""Locks between real processes: killed with SIGKILL, paused with SIGSTOP."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.services.waiting import wait_until

ROOT = Path(__file__).parents[2]
TTL = 1.0
SLACK = 0.7
"""A shared machine's scheduling, on top of what is promised."""

# Writes who enters and who leaves the one critical section.
CONTENDER = """
import asyncio, json, os, sys, structlog
from worker.coordination.locks.redis_locks import RedisLocks

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def main(url, ttl, seconds, rounds):
    from redis.asyncio import Redis
    redis = Redis.from_url(url)
    locks = RedisLocks(url, f"test:{os.getpid()}", log=structlog.get_logger(), renew_seconds=0.3)
    async def note(what, fence):
        await redis.rpush("trace", json.dumps([what, os.getpid(), fence]))
    for number in range(rounds):
        owner = f"{os.getpid()}-{number}"
        info = await locks.acquire("the one", owner=owner, ttl=ttl, wait=None)
        await note("in", info.fence)
        await asyncio.sleep(seconds)
        await note("out", info.fence)
        await locks.release("the one", owner)
    await locks.close()
    await redis.aclose()

url, ttl, seconds, rounds = sys.argv[1:]
asyncio.run(main(url, float(ttl), float(seconds), int(rounds)))
"""

# Holds a lock until it is told that it was lost; then releases it, too late.
OWNER = """
import asyncio, sys, structlog
from worker.coordination.locks.redis_locks import RedisLocks

structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

async def main(url, ttl):
    locks = RedisLocks(url, "owner", log=structlog.get_logger(), renew_seconds=0.3)
    await locks.acquire("k", owner="paused", ttl=ttl)
    print("held", locks.lost("k", "paused"), flush=True)
    await locks.until_lost("k", "paused")
    print("lost", locks.lost("k", "paused"), await locks.release("k", "paused"), flush=True)

asyncio.run(main(sys.argv[1], float(sys.argv[2])))
"""

# The same by the public primitives: one body that awaits, one that blocks its thread.
BODIES = """
import asyncio, sys, time
from control.primitives import LockLost, configure, with_lock
from worker.settings import Settings

async def awaiting():
    async with with_lock("k", ttl=float(sys.argv[2])):
        print("held", flush=True)
        await asyncio.sleep(60)

def blocking():
    with with_lock("k", ttl=float(sys.argv[2])) as held:
        print("held", flush=True)
        while not held.lost:
            time.sleep(0.01)

configure(Settings.load(redis_url=sys.argv[1]))
begin = time.monotonic()
try:
    asyncio.run(awaiting()) if sys.argv[3] == "awaiting" else blocking()
except LockLost as lost:
    print("LockLost", time.monotonic() - begin < 30, flush=True)
"""


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        client.flushall()
        client.hset("muster:locks:era", mapping={"id": "1", "opens": "0"})
        yield client


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for child in started:
        child.kill()
        child.communicate()


def start(children: list[subprocess.Popen[str]], program: str, *args: object) -> Any:
    command = [sys.executable, "-c", program, *map(str, args)]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    children.append(child)
    return child


def trace(redis: Redis) -> list[tuple[str, int, int]]:
    rows: Any = redis.lrange("trace", 0, -1)
    return [tuple(json.loads(row)) for row in rows]


def test_eight_processes_are_never_inside_together_though_owners_are_killed(
    redis: Redis, redis_url: str, children: list[subprocess.Popen[str]]
) -> None:
    for _ in range(8):
        start(children, CONTENDER, redis_url, TTL, 0.02, 1_000)
    wait_until(lambda: len({pid for _, pid, _ in trace(redis)}) == 8, 60, "all take turns")
    killed: dict[int, float] = {}
    gaps = []
    for victim in children[:3]:
        wait_until(lambda v=victim: _is_inside(redis, v.pid), 60, "the victim is inside")
        victim.kill()
        victim.wait()
        begin = time.monotonic()
        seen = len(trace(redis))
        killed[victim.pid] = begin
        wait_until(lambda n=seen: len(trace(redis)) > n, 30, "another one enters")
        gaps.append(time.monotonic() - begin)
    assert max(gaps) < TTL + 1 + SLACK, gaps
    wait_until(lambda: len(trace(redis)) > 300, 60, "the others go on")
    for child in children[3:]:
        child.kill()
        killed[child.pid] = time.monotonic()
    print(f"after a kill -9 the next owner was inside after {[f'{gap:.2f}' for gap in gaps]} s")
    _check_turns(trace(redis), set(killed))


def _is_inside(redis: Redis, pid: int) -> bool:
    last: Any = redis.lindex("trace", -1)
    what, who, _ = json.loads(last)
    return bool(what == "in" and who == pid)


def _check_turns(rows: list[tuple[str, int, int]], killed: set[int]) -> None:
    """Turns follow one another: an `in` without its `out` is a killed process's last word."""
    assert len(rows) > 100
    for row, following in itertools.pairwise(rows):
        if row[0] == "in" and following != ("out", *row[1:]):
            assert row[1] in killed
            assert following[0] == "in"
            assert all(who != row[1] for _, who, _ in rows[rows.index(following) :])
        if row[0] == "out":
            assert following[0] == "in"
    fences = [fence for what, _, fence in rows if what == "in"]
    assert fences == sorted(set(fences)), "fences rise with every turn"


def test_a_paused_owner_learns_that_it_lost_the_lock(
    redis: Redis, redis_url: str, children: list[subprocess.Popen[str]]
) -> None:
    owner = start(children, OWNER, redis_url, TTL)
    assert owner.stdout.readline() == "held False\n"
    owner.send_signal(signal.SIGSTOP)
    begin = time.monotonic()
    rival = start(children, CONTENDER.replace("the one", "k"), redis_url, 900, 600, 1)
    wait_until(lambda: trace(redis), 30, "another has the lock")
    assert time.monotonic() - begin > TTL / 2
    owner.send_signal(signal.SIGCONT)
    begin = time.monotonic()
    assert owner.stdout.readline() == "lost True False\n", "and its release freed nothing"
    assert time.monotonic() - begin < 1
    assert redis.hget("muster:lock:k", "holder") == f"test:{rival.pid}"


@pytest.mark.parametrize("body", ["awaiting", "blocking"])
def test_the_body_of_a_paused_owner_ends_with_lock_lost(
    redis: Redis, redis_url: str, children: list[subprocess.Popen[str]], body: str
) -> None:
    owner = start(children, BODIES, redis_url, TTL, body)
    assert owner.stdout.readline() == "held\n"
    owner.send_signal(signal.SIGSTOP)
    wait_until(lambda: not redis.exists("muster:lock:k"), 10, "the lock lapses")
    owner.send_signal(signal.SIGCONT)
    assert owner.stdout.readline() == "LockLost True\n"
    assert owner.wait(20) == 0
    assert not redis.exists("muster:lock:k"), "it was not taken back"
