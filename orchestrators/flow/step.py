"""An agent as a node: one durable step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from envelope.envelope import Envelope
from envelope.errors import InvalidInput
from envelope.ports.context import RunContext, StepInput
from envelope.registry import check_name
from orchestrators.flow.errors import InvalidFlow
from orchestrators.flow.layout import Layout
from orchestrators.flow.node import Node

RequestOf = Callable[[Any], StepInput]
"""Makes an agent's input of a node's value. It is a pure function: a replay calls it again."""


class Step(Node):
    """Calls an agent; the value that goes on is its envelope.

    Args:
        agent: Name of a registered agent.
        key: The step's name within its stretch of the flow; without one it is numbered.
        request: Makes the agent's input of the value; without it the value is the input.
        inline: As in `ctx.call`.

    Raises:
        InvalidFlow: The agent's name is none, or `request` cannot be called.

    Example:
        >>> research = Step("rag", key="research", request=lambda lead: {"query": lead.company})
    """

    layout = Layout.LEAF

    def __init__(
        self,
        agent: str,
        *,
        key: str | None = None,
        request: RequestOf | None = None,
        inline: bool | None = None,
    ) -> None:
        try:
            check_name(agent, "agent")
        except ValueError as error:
            raise InvalidFlow(str(error)) from None
        if request is not None and not callable(request):
            raise InvalidFlow(f"Step {agent!r}: request= takes a function of the value.")
        self.agent = agent
        self.key = key
        self._request = request
        self._inline = inline

    @property
    def label(self) -> str:
        """The key, or else the agent."""
        return self.key or self.agent

    def request_of(self, value: Any) -> StepInput:
        """Return the agent's input.

        Raises:
            InvalidInput: The value is none, and `request` was not given.
        """
        made = self._request(value) if self._request else value
        if isinstance(made, Envelope) or not isinstance(made, BaseModel | Mapping):
            raise InvalidInput(
                f"Step {self.label!r} has {type(made).__name__} for the input of agent "
                f"{self.agent!r}. Say with request=lambda value: … what the agent shall get."
            )
        return made

    async def __call__(self, ctx: RunContext, value: Any) -> Envelope:
        """Return the agent's envelope, recorded or fresh; errors as `ctx.call`."""
        request = self.request_of(value)
        return await ctx.call(self.agent, request, key=self.key, inline=self._inline)


def call(
    agent: str,
    request: RequestOf | None = None,
    *,
    key: str | None = None,
    inline: bool | None = None,
) -> Step:
    """Return a step; short for `Step(agent, …)`."""
    return Step(agent, key=key, request=request, inline=inline)
