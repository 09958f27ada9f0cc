"""Small trials of what processes share in Redis, over a real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from envelope.errors import LockHeld
from envelope.ports.permits import PermitAsk
from tests.rig.faults.history import History
from tests.rig.faults.log_lines import LogLines
from tests.rig.faults.loop import LoopThread
from worker.coordination.locks.redis_locks import RedisLocks
from worker.coordination.permits.redis_permits import RedisPermits

_AGENT = "rig-writer"
_KEY = "rig:key"
_TERM = 1.0
_PATIENCE = 5.0


async def dead_holder(redis_url: str, history: History) -> None:
    """A process dies with a permit; whoever comes later finds none left over."""
    living = {"dead-1", "host-2"}

    async def alive() -> set[str]:
        return living

    first, second, third = (
        RedisPermits(redis_url, name, living=alive, log=LogLines(), grace_seconds=0.1)
        for name in ("dead-1", "host-2", "reports")
    )
    async with looking(first):
        await first.acquire(PermitAsk(agent=_AGENT, run_id="r1", step="s0", limit=2))
    living.discard("dead-1")
    async with looking(second):
        await second.acquire(PermitAsk(agent=_AGENT, run_id="r2", step="s0", limit=2))
    await second.look()  # one round at least, whole
    await second.close()
    for agent in await third.report():
        for holder in agent.holders:
            facts = {"run": holder.run_id, "step": holder.step, "worker": holder.worker}
            history.write("permit.left", agent=agent.agent, **facts)
    await first.close()
    await third.close()


@asynccontextmanager
async def looking(permits: RedisPermits) -> AsyncIterator[None]:
    """Do the round of care that a living process does every second."""

    async def look() -> None:
        while True:
            await permits.look()
            await asyncio.sleep(0.05)

    task = asyncio.create_task(look())
    try:
        yield
    finally:
        while not task.done():  # before Python 3.12 wait_for, which redis-py uses, may swallow one
            task.cancel()
            await asyncio.wait({task}, timeout=0.1)


def late_release(redis_url: str, history: History) -> None:
    """A paused process releases a lock that lapsed and that another one has by now."""
    mine, others = LoopThread("test-lock-a"), LoopThread("test-lock-b")

    async def locks(name: str) -> RedisLocks:
        return RedisLocks(redis_url, name, log=LogLines(), renew_seconds=0.2, alone=_alone)

    paused, living = mine.call(locks("a")), others.call(locks("b"))
    mine.call(paused.acquire(_KEY, owner="a", ttl=_TERM, wait=_PATIENCE))
    history.write("locked", key=_KEY, owner="a")
    mine.pause(2 * _TERM)
    others.call(living.acquire(_KEY, owner="b", wait=_PATIENCE))
    history.write("unlocked", key=_KEY, owner="a", how="its term was over")
    history.write("locked", key=_KEY, owner="b")
    mine.call(paused.release(_KEY, "a"))
    others.call(_ask_for_another(living, history))
    mine.call(paused.close())
    others.call(living.close())
    mine.close()
    others.close()


async def _ask_for_another(locks: RedisLocks, history: History) -> None:
    try:
        await locks.acquire(_KEY, owner="c")
    except LockHeld:
        return  # as it should be
    history.write("locked", key=_KEY, owner="c")


async def _alone() -> bool:
    return True
