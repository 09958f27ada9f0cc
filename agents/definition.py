"""What an agent is: a function from a validated input to an envelope, with its limits."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from agents.rates import parse_rate
from agents.retries import RetryPolicy
from envelope.envelope import Envelope
from envelope.ports.rates import Rate

AgentFunction = Callable[[Any, Any], Envelope] | Callable[[Any, Any], Awaitable[Envelope]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDefinition:
    """A registered agent.

    Attributes:
        name: Its stable name; its queue is `agent.<name>`.
        version: From 1.
        function: The user's code.
        model: Its input model.
        concurrency: How many steps of it may run at once.
        rate: Attempts per time such as `500/min`; None for no limit.
        inline: Runs in the run's own process instead of on the agent's queue.
        timeout_seconds: Longest execution of one attempt; None for no limit.
        retries: When a failed attempt is repeated.
        rate_limit: The rate as a token bucket.
        is_async: Whether the code is `async def`; a plain `def` runs in a thread.
    """

    name: str
    version: int
    function: AgentFunction
    model: type[BaseModel]
    concurrency: int
    rate: str | None
    inline: bool
    timeout_seconds: float | None
    retries: RetryPolicy
    rate_limit: Rate | None = field(init=False)
    is_async: bool = field(init=False)

    def __post_init__(self) -> None:
        """Work out once what every step asks."""
        limit = parse_rate(self.rate) if self.rate is not None else None
        object.__setattr__(self, "rate_limit", limit)
        object.__setattr__(self, "is_async", inspect.iscoroutinefunction(self.function))

    @property
    def where(self) -> str:
        """Module and name of the code."""
        return f"{self.function.__module__}.{self.function.__qualname__}"
