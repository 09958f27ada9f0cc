"""What a double may do instead of returning one value: side effects, ready made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from agents.testing.double import Answer, SideEffect
from envelope.errors import Retryable, Terminal
from envelope.ports.context import AgentContext

Sleep = Callable[[float], Awaitable[None]]


def echo(ctx: AgentContext, request: Any) -> Answer:  # noqa: ARG001 - the shape of an agent
    """Answer with the request as the one record."""
    data: dict[str, Any] = request.model_dump(mode="json")
    return data


def failing(error: BaseException | None = None) -> SideEffect:
    """Raise at each call; by default an error that nothing retries."""
    raised = error or Terminal("The double fails, as the test wants it to.")

    def fail(ctx: AgentContext, request: Any) -> Answer:  # noqa: ARG001 - as above
        return raised

    return fail


def flaky(failures: int, then: Answer = (), error: BaseException | None = None) -> SideEffect:
    """Raise at the first attempts of each step, then answer.

    Args:
        failures: How many attempts of a step fail.
        then: The answer after them.
        error: What they raise; by default an error that is worth another attempt.
    """
    raised = error or Retryable("The double fails for now, as the test wants it to.")

    def answer(ctx: AgentContext, request: Any) -> Answer:  # noqa: ARG001 - as above
        return raised if ctx.attempt <= failures else then

    return answer


def slow(seconds: float, then: Answer = (), sleep: Sleep = asyncio.sleep) -> SideEffect:
    """Answer after a while.

    Args:
        seconds: How long it takes.
        then: The answer.
        sleep: Waits; `FakeClock.sleep` takes no time.
    """

    async def answer(ctx: AgentContext, request: Any) -> Answer:  # noqa: ARG001 - as above
        await sleep(seconds)
        return then

    return answer
