"""A node with a deadline that survives any restart."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

from envelope.ports.context import RunContext
from orchestrators.flow.errors import InvalidFlow, TimedOut
from orchestrators.flow.layout import Layout, Part
from orchestrators.flow.node import Node, PlainFunction, as_node, calling
from orchestrators.flow.places import apart, ended, ending, within


class Timeout(Node):
    """A node that is cancelled when it is not done in time.

    The deadline counts from the first time that the run came here. Which of the two came first is
    recorded, so a replay long after the deadline still knows that the node was in time.

    Args:
        node: What has to be done in time.
        seconds: From when the run first comes here. May be weeks.

    Raises:
        InvalidFlow: `seconds` is no positive number.
    """

    layout = Layout.FRAME

    def __init__(self, node: Node | PlainFunction, seconds: float) -> None:
        if not (math.isfinite(seconds) and seconds > 0):
            raise InvalidFlow(f"A Timeout takes a number of seconds above 0, not {seconds!r}.")
        self.node = as_node(node)
        self.seconds = float(seconds)

    @property
    def label(self) -> str:
        """Says how long."""
        return f"within {self.seconds:g} s"

    @property
    def parts(self) -> Sequence[Part]:
        """What has to be done."""
        return [Part(node=self.node)]

    async def __call__(self, ctx: RunContext, value: Any) -> Any:
        """Return what the node returns.

        Raises:
            TimedOut: It was not done in time. It has ended, with what it undid, before this.
        """
        return await apart(ctx, lambda: self._raced(ctx, value))

    async def _raced(self, ctx: RunContext, value: Any) -> Any:
        node = asyncio.create_task(within(ctx, "node", calling(self.node, ctx, value)))
        timer = asyncio.create_task(within(ctx, "deadline", lambda: ctx.sleep(self.seconds)))

        async def is_done() -> bool:
            return node.done()

        async with ending((node, timer)):
            await asyncio.wait((node, timer), return_when=asyncio.FIRST_COMPLETED)
            if await ctx.once(is_done):
                await ended((timer,))
                return await node
            await ended((node,))
            raise self._error() from _problem(node)

    def _error(self) -> TimedOut:
        return TimedOut(f"{self.title!r} was not done within {self.seconds:g} s.")


def _problem(task: asyncio.Task[Any]) -> BaseException | None:
    """What a cancelled node left undone."""
    return None if task.cancelled() else task.exception()
