"""Places for steps: a node that runs others names where, so that no timing names it for them.

`apart` takes the next number of the present stretch of the flow. Within such a place, `within`
opens places by name; whoever uses it owns the place that `apart` gave it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Generator
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from envelope.ports.context import RunContext
from orchestrators.flow.errors import SagaFailed
from orchestrators.scope import Scope, current_scope, enter

T = TypeVar("T")

Work = Callable[[], Awaitable[T]]


async def apart(ctx: RunContext, work: Work[T]) -> T:
    """Do `work` in a place of its own; if it fails, a replay need not meet its steps again."""
    branch = _Branch(work)
    try:
        (made,) = await ctx.gather(branch)
    except asyncio.CancelledError:
        if branch.left_undone is not None:  # it tells of the cancellation, and of more
            raise branch.left_undone from None
        raise
    return made


async def within(ctx: RunContext, name: str, work: Work[T]) -> T:
    """Do `work` in the place of that name below the present one."""
    present = current_scope(Scope(ctx))
    place = Scope(present.owner, f"{present.prefix}{quote(name, safe=' ')}/")

    async def entered() -> T:
        enter(place)
        return await work()

    return await asyncio.create_task(entered())


class _Branch(Generic[T]):
    """Work that begins when it is awaited: one that is cancelled before leaves nothing behind."""

    def __init__(self, work: Work[T]) -> None:
        self._work = work
        self.left_undone: SagaFailed | None = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._done().__await__()

    async def _done(self) -> T:
        try:
            return await self._work()
        except SagaFailed as error:
            self.left_undone = error
            raise


@asynccontextmanager
async def ending(tasks: Collection[asyncio.Task[Any]]) -> AsyncIterator[None]:
    """See to it that none of these tasks outlives the block, however it ends.

    Raises:
        SagaFailed: The block was cancelled, and a saga among the tasks could not undo everything.
    """
    try:
        yield
    except asyncio.CancelledError:
        await ended(tasks)
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if isinstance(error, SagaFailed):
                raise error from None
        raise
    finally:
        await ended(tasks)


async def ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel these tasks and return when all of them have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
