"""The primitives for coroutines, on any event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from control.primitives.held import HeldLock
from control.primitives.shared import PROCESS
from envelope.errors import MusterError
from envelope.ids import new_id
from envelope.ports.locks import DEFAULT_TTL, LockInfo
from worker.coordination.progress.model import Progress, ProgressEvent


async def acquire_lock(
    key: str,
    ttl: float = DEFAULT_TTL,
    wait: float | None = 0.0,
    why: str = "",
    metadata: Mapping[str, str] | None = None,
) -> HeldLock:
    """Acquire a lock; see `control.primitives.acquire_lock`. A cancelled caller holds nothing."""
    shared = await PROCESS.opened()
    owner = new_id()
    try:
        info = await shared.run(
            shared.locks.acquire(key, owner=owner, ttl=ttl, wait=wait, why=why, metadata=metadata)
        )
    except MusterError:
        raise
    except BaseException:
        # Cancelled, perhaps in the very moment of getting it: nobody would release it.
        shared.submit(shared.locks.release(key, owner))
        raise
    return HeldLock(info, ttl, shared)


async def release_lock(held: HeldLock) -> bool:
    """Release a lock, also if the caller is cancelled; see `control.primitives.release_lock`."""
    held.ending()
    released = held.shared.submit(held.shared.locks.release(held.key, held.owner))
    return held.ended(await asyncio.shield(asyncio.wrap_future(released)))


async def check_lock(key: str) -> LockInfo | None:
    """Return who has a lock; see `control.primitives.check_lock`."""
    shared = await PROCESS.opened()
    return await shared.run(shared.locks.check(key))


async def emit_progress(thread: str, event: Progress | Mapping[str, Any]) -> int:
    """Tell how far a step is; see `control.primitives.emit_progress`."""
    shared = await PROCESS.opened()
    return await shared.run(shared.progress.emit(thread, Progress.of(event)))


async def subscribe(
    thread: str, after: int = 0, silence: float | None = None
) -> AsyncIterator[ProgressEvent]:
    """Follow a thread's progress; see `control.primitives.subscribe`."""
    shared = await PROCESS.opened()
    events = shared.progress.follow(thread, after, silence)
    try:
        while True:
            try:
                event = await shared.run(_next(events))
            except StopAsyncIteration:
                return
            yield event
    finally:
        shared.submit(events.aclose())


async def _next(events: AsyncIterator[ProgressEvent]) -> ProgressEvent:
    return await anext(events)
