"""Waits that a cancellation does not cut off at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from worker.engine.persist import until_written

T = TypeVar("T")


async def ended(task: asyncio.Task[Any], grace_seconds: float) -> asyncio.CancelledError | None:
    """Wait until a task has ended; return the cancellation of the waiter, if there was one.

    The task goes on for `grace_seconds` after that, for to cut a dialogue off is to make its
    outcome unknown; only then is it cancelled itself.
    """
    cancelled = None
    loop = asyncio.get_running_loop()
    timer = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
            timer = timer or loop.call_later(grace_seconds, task.cancel)
    if timer is not None:
        timer.cancel()
    return cancelled


async def answered(work: Awaitable[T]) -> tuple[T, asyncio.CancelledError | None]:
    """Return what `work` returns and the cancellation of the waiter, if there was one.

    Raises:
        CancelledError: The waiter was cancelled, and `work` failed.
    """
    task = asyncio.ensure_future(work)
    cancelled = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = cancelled or error
    if cancelled is not None and task.exception() is not None:
        raise cancelled
    return task.result(), cancelled


async def written(write: Callable[[], Awaitable[T]], log: Any) -> T:
    """Return what `write` returns, however long the journal is away and whoever cancels.

    Raises:
        CancelledError: The waiter was cancelled meanwhile; it is written all the same.
    """
    result, cancelled = await answered(until_written(write, log))
    if cancelled is not None:
        raise cancelled
    return result
