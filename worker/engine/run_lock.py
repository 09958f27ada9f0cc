"""Locks of the cluster that a run holds: its flow's singleton lock, and those of `ctx.lock`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from envelope.errors import QueueUnavailable
from worker.engine.execution import RunExecution
from worker.engine.parts import EngineParts

_AGAIN_SECONDS = 1.0


@asynccontextmanager
async def held_lock(
    parts: EngineParts, execution: RunExecution, key: str, why: str
) -> AsyncIterator[None]:
    """Hold a lock in the name of the run, whatever worker executes it; wait for it for ever."""
    run = execution.run
    with execution.working():
        await _acquire(parts, key, run.run_id, f"{why} of run {run.run_id} ({run.flow})")
    try:
        yield
    finally:
        if not await _released(parts, key, run.run_id):
            parts.log.warning("lock.was_lost", run=run.run_id, key=key)


async def _acquire(parts: EngineParts, key: str, owner: str, why: str) -> None:
    while True:
        try:
            await parts.locks.acquire(key, owner=owner, wait=None, why=why)
        except QueueUnavailable as error:
            parts.log.warning("lock.redis_away", key=key, error=str(error))
            await asyncio.sleep(_AGAIN_SECONDS)
        else:
            return


async def _released(parts: EngineParts, key: str, owner: str) -> bool:
    try:
        return await parts.locks.release(key, owner)
    except QueueUnavailable:
        return True  # it lapses with its term
