"""Runs branches at once: the first failure cancels the others and is the one that is raised."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def run_branches(branches: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results in order.

    On failure or cancellation every branch has ended before this returns.
    """
    tasks = [asyncio.ensure_future(branch) for branch in branches]
    if not tasks:
        return []
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        _raise_first(tasks)
        return [task.result() for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _raise_first(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        error = task.exception() if task.done() and not task.cancelled() else None
        if error is not None:
            raise error
