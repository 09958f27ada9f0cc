"""Runs branches at once: the first failure cancels the others and is the one that is raised."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

STARTS = 50
"""Branches that begin in one turn of the event loop.

Of thousands the first are under way, and the process's other runs go on, while the last begin.
"""


async def run_branches(branches: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results in order.

    On failure or cancellation every branch has ended before this returns, or never begins.
    """
    tasks: list[asyncio.Task[T]] = []
    failed = asyncio.Event()

    def look(task: asyncio.Task[T]) -> None:
        if _has_failed(task):
            failed.set()

    try:
        for branch in branches:
            tasks.append(asyncio.create_task(branch))
            tasks[-1].add_done_callback(look)
            if len(tasks) % STARTS == 0:
                await asyncio.sleep(0)
            if failed.is_set():
                break
        if tasks:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        _raise_first(tasks)
        return [task.result() for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for branch in branches[len(tasks) :]:
            branch.close()


def _has_failed(task: asyncio.Task[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None


def _raise_first(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in filter(_has_failed, tasks):
        task.result()
