"""Works of one run at once, some after others: the first failure ends them all.

Which failure was the first is recorded. A replay, where branches move at another pace, raises the
same one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, TypeVar

from envelope.ports.context import RunContext
from orchestrators.flow.places import apart, ending, within

T = TypeVar("T")

BranchWork = Callable[[Mapping[str, T]], Awaitable[T]]
"""One work; it is given the results of the works that it comes after."""

Tasks = Mapping[str, asyncio.Task[T]]


async def run_together(
    ctx: RunContext,
    works: Mapping[str, BranchWork[T]],
    *,
    after: Mapping[str, Sequence[str]] | None = None,
    limit: int | None = None,
) -> dict[str, T]:
    """Return the results by name.

    Args:
        ctx: The run.
        works: The works by name; each has the place of its name.
        after: Which works each of them waits for. There is no cycle in it.
        limit: How many are under way at once; None for all.
    """
    return await apart(ctx, lambda: _together(ctx, works, after or {}, limit))


async def _together(
    ctx: RunContext,
    works: Mapping[str, BranchWork[T]],
    after: Mapping[str, Sequence[str]],
    limit: int | None,
) -> dict[str, T]:
    place: AbstractAsyncContextManager[Any] = asyncio.Semaphore(limit) if limit else nullcontext()
    tasks: dict[str, asyncio.Task[T]] = {}

    async def branch(name: str, work: BranchWork[T]) -> T:
        given = {before: await _result(tasks[before]) for before in after.get(name, ())}
        async with place:
            return await within(ctx, name, lambda: work(given))

    tasks.update({name: asyncio.create_task(branch(name, work)) for name, work in works.items()})
    async with ending(tasks.values()):
        await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
        failed = [name for name, task in tasks.items() if _error(task) is not None]
        if failed:
            await _raise_first(ctx, tasks, failed[0])
        return {name: task.result() for name, task in tasks.items()}


async def _result(task: asyncio.Task[T]) -> T:
    """Wait for another branch; where it fails, wait to be cancelled along with the rest."""
    await asyncio.wait({task})
    if _error(task) is not None:
        await asyncio.get_running_loop().create_future()
    return task.result()


async def _raise_first(ctx: RunContext, tasks: Tasks[Any], now: str) -> None:
    """Raise the failure that was the first when this was first executed."""
    first = tasks[await ctx.once(_returning(now))]
    await asyncio.wait({first})
    error = _error(first) or _error(tasks[now])
    if error is not None:
        raise error


def _returning(value: str) -> Callable[[], Awaitable[str]]:
    async def make() -> str:
        return value

    return make


def _error(task: asyncio.Task[Any]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None
