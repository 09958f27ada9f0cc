"""Another attempt when a node fails, after a wait that survives any restart.

Agents repeat their own attempts (`RetryPolicy`). This repeats a whole piece of a flow.
"""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from envelope.failure import StepFailed
from envelope.ports.context import RunContext
from orchestrators.flow.errors import InvalidFlow
from orchestrators.flow.failures import Filters, checked_filters, handles, may_pass
from orchestrators.flow.layout import Layout, Part
from orchestrators.flow.node import Node, PlainFunction, as_node, calling
from orchestrators.flow.places import apart

LONGEST_RETRY_AFTER: Final = 3_600.0


class Retry(Node):
    """A node, tried again when it fails. Every attempt has a place, and so steps, of its own.

    The wait doubles from `base_seconds` up to `cap_seconds` and is drawn from the upper half of
    that ("equal jitter", AWS Architecture Blog, 2015), so never above the cap. An error that says
    `retry_after` is obeyed instead, up to an hour.

    Args:
        node: What is tried.
        attempts: Executions in all, the first included.
        base_seconds: Wait before the second attempt.
        cap_seconds: Longest wait of the backoff, jitter included.
        on: Which failures are worth another attempt; by default all but those that stay as they
            are, such as wrong input.

    Raises:
        InvalidFlow: An argument is out of range, or `on` is no filter.
    """

    layout = Layout.FRAME

    def __init__(
        self,
        node: Node | PlainFunction,
        *,
        attempts: int = 3,
        base_seconds: float = 1.0,
        cap_seconds: float = 60.0,
        on: Filters = may_pass,
    ) -> None:
        if attempts < 1:
            raise InvalidFlow(f"A Retry has at least 1 attempt, not {attempts}.")
        if not (0 <= base_seconds <= cap_seconds < math.inf):
            raise InvalidFlow(
                f"A Retry waits from base_seconds up to cap_seconds, 0 or more; not from "
                f"{base_seconds!r} up to {cap_seconds!r}."
            )
        self.node = as_node(node)
        self.attempts = attempts
        self.base_seconds = base_seconds
        self.cap_seconds = cap_seconds
        self._on = checked_filters(on, "Retry")

    @property
    def label(self) -> str:
        """Says how often."""
        return f"up to {self.attempts} attempts"

    @property
    def parts(self) -> Sequence[Part]:
        """What is tried."""
        return [Part(node=self.node)]

    async def __call__(self, ctx: RunContext, value: Any) -> Any:
        """Return what the first attempt that succeeds returns; raise what the last one raised."""
        for attempt in range(1, self.attempts):
            try:
                return await apart(ctx, calling(self.node, ctx, value))
            except Exception as error:
                if not handles(self._on, error):
                    raise
                wait = await ctx.once(self._drawing(error, attempt))
                ctx.log.warning(
                    "retry.waits", node=self.title, attempt=attempt, wait=wait, error=str(error)
                )
            await ctx.sleep(wait)
        return await apart(ctx, calling(self.node, ctx, value))

    def _drawing(self, error: Exception, attempt: int) -> Callable[[], Awaitable[float]]:
        async def draw() -> float:
            asked = retry_after(error)
            if asked is not None:
                return min(asked, LONGEST_RETRY_AFTER)
            # Beyond 2**64 the cap has long been reached, and a float would overflow.
            step = min(self.cap_seconds, self.base_seconds * 2.0 ** min(attempt - 1, 64))
            return step * (0.5 + random.random() / 2)  # noqa: S311 - jitter, not cryptography

        return draw


def retry_after(error: Exception) -> float | None:
    """Return the seconds that an error, or the failure that a step recorded, asks to wait."""
    asked: Any = getattr(error, "retry_after", None)
    if isinstance(error, StepFailed):
        asked = error.failure.details.get("retry_after")
    if isinstance(asked, int | float) and math.isfinite(asked) and asked >= 0:
        return float(asked)
    return None
