"""Locks of the cluster that a run holds: its flow's singleton lock, and those of `ctx.lock`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from envelope.errors import QueueUnavailable
from worker.engine.execution import RunExecution, Stop
from worker.engine.parts import EngineParts

_AGAIN_SECONDS = 1.0


@asynccontextmanager
async def held_lock(
    parts: EngineParts, execution: RunExecution, key: str, why: str
) -> AsyncIterator[None]:
    """Hold a lock in the name of the run, whatever worker executes it; wait for it for ever.

    Should it be lost, the run is given back: it goes on when it has the lock again.
    """
    run = execution.run
    with execution.working():
        await _acquire(parts, key, run.run_id, f"{why} of run {run.run_id} ({run.flow})")
    watch = asyncio.create_task(_give_back_when_lost(parts, execution, key))
    try:
        yield
    finally:
        watch.cancel()
        await _release(parts, key, run.run_id)


async def _give_back_when_lost(parts: EngineParts, execution: RunExecution, key: str) -> None:
    await parts.locks.until_lost(key, execution.run.run_id)
    parts.log.warning("lock.lost", run=execution.run.run_id, key=key)
    execution.stop(Stop.RELEASED)


async def _acquire(parts: EngineParts, key: str, owner: str, why: str) -> None:
    while True:
        try:
            await parts.locks.acquire(key, owner=owner, wait=None, why=why)
        except QueueUnavailable as error:
            parts.log.warning("lock.redis_away", key=key, error=str(error))
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return


async def _release(parts: EngineParts, key: str, owner: str) -> None:
    try:
        await parts.locks.release(key, owner)
    except QueueUnavailable as error:
        parts.log.warning("lock.not_released", key=key, error=str(error))  # it lapses by itself
