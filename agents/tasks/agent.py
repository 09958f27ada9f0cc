"""A task as an agent: flows call it by name, workers queue, limit and retry it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

from agents.definition import AgentDefinition
from agents.registry import AGENTS, agent
from agents.tasks.definition import Task
from agents.tasks.performing import perform
from envelope.envelope import Envelope

TaskFunction = Callable[[Any, Any], Awaitable[Envelope]]


def as_agent(
    task: Task[Any, Any],
    *,
    name: str | None = None,
    version: int = 1,
    concurrency: int = 8,
    rate: str | None = None,
    inline: bool = False,
) -> AgentDefinition:
    """Register a task as an agent, with its timeout and retries.

    Args:
        task: The task.
        name: The agent's name; the task's where None.
        version: From 1.
        concurrency: How many steps of it may run at once.
        rate: Attempts per time in the whole cluster, such as `500/min`.
        inline: Run it in the run's own process.

    Raises:
        AlreadyRegistered: Another agent has the name and version.
        ValueError: An argument is out of range.

    Example:
        >>> as_agent(MOOD, concurrency=4)
        >>> mood = await ctx.call("mood", {"message": "…"}, key="mood")  # in a flow
    """
    name = name or task.name
    register = agent(
        name,
        version=version,
        concurrency=concurrency,
        rate=rate,
        inline=inline,
        timeout=task.timeout_seconds,
        retries=task.retries,
    )
    performed = function_of(task)
    # The registry tells definitions apart by where they stand; tasks all stand here.
    performed.__qualname__ = f"task_{task.name}_{task.fingerprint}"
    register(performed)
    return AGENTS.get(name, version)


def definition_of(task: Task[Any, Any]) -> AgentDefinition:
    """Return a task as an agent that nobody else knows of."""
    return AgentDefinition(
        name=task.name,
        version=1,
        function=function_of(task),
        model=task.input,
        concurrency=1,
        rate=None,
        inline=True,
        timeout_seconds=task.timeout_seconds,
        retries=task.retries,
    )


def function_of(task: Task[Any, Any]) -> TaskFunction:
    """Return the function that performs the task, in the shape that agents have."""

    async def performed(ctx: Any, request: BaseModel) -> Envelope:
        return await perform(ctx, task, request)

    performed.__annotations__ = {"ctx": Any, "request": task.input, "return": Envelope}
    return performed
