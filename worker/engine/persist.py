"""Writes that must reach the journal, however long it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from envelope.errors import JournalUnavailable

T = TypeVar("T")

AGAIN_SECONDS = 1.0


async def until_written(write: Callable[[], Awaitable[T]], log: Any) -> T:
    """Return what `write` returns, trying again while the journal is away.

    The result of a paid model call is not thrown away because a database restarts. Should another
    worker have taken the work by then, the write is refused with `Fenced`.
    """
    while True:
        try:
            return await write()
        except JournalUnavailable as error:
            log.warning("journal.away", error=str(error), again_seconds=AGAIN_SECONDS)
        await asyncio.sleep(AGAIN_SECONDS)


async def uninterrupted(work: Awaitable[T]) -> T:
    """Return what `work` returns, even if the waiter is cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            continue  # a shutdown waits for the write; its own deadline bounds it
    return task.result()
