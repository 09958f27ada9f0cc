"""Tools that a model may call on the way to its answer, and the decorator that adds one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, JsonValue

from agents.llm.tool import Tool
from envelope.ports.context import AgentContext
from envelope.registry import Registry, check_name

F = TypeVar("F", bound=Callable[..., Any])

TOOL_EVENT = "llm.tool"
"""The event of each tool call: `name` and `outcome`, never arguments or results."""

_SHAPE = "(ctx, arguments: SomeModel) -> JSON or a model"
_LONGEST_NAME = 64
_MAX_BYTES = 64_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolDefinition:
    """A registered tool.

    Attributes:
        name: Its stable name.
        function: The user's code.
        arguments: The model of its arguments.
        description: What the model is told about it.
        max_bytes: Cap of a result as JSON.
        version: Always 1; a tool that does something else has another name.
    """

    name: str
    function: Callable[..., Any]
    arguments: type[BaseModel]
    description: str
    max_bytes: int
    version: int = 1

    @property
    def where(self) -> str:
        """Module and name of the code."""
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def bound(self, ctx: AgentContext) -> Tool:
        """Return the tool as the step of `ctx` may use it."""
        return Tool(
            name=self.name,
            description=self.description,
            arguments=self.arguments,
            call=partial(self._call, ctx),
            note=lambda name, outcome: ctx.emit(TOOL_EVENT, name=name, outcome=outcome),
            max_bytes=self.max_bytes,
        )

    async def _call(self, ctx: AgentContext, arguments: BaseModel) -> JsonValue:
        if inspect.iscoroutinefunction(self.function):
            made = await self.function(ctx, arguments)
        else:
            made = await asyncio.to_thread(self.function, ctx, arguments)
        result: JsonValue = made.model_dump(mode="json") if isinstance(made, BaseModel) else made
        return result


TOOLS: Registry[ToolDefinition] = Registry("tool")


def tool(name: str, *, max_bytes: int = _MAX_BYTES) -> Callable[[F], F]:
    """Register the decorated function as a tool; the function itself stays as it is.

    Its docstring, or else that of its arguments' model, tells the language model what it does. It
    raises `ToolFailed` to tell the model that it cannot do what it was asked to; every other error
    ends the step as if the agent had raised it, and the model learns nothing of it.

    Args:
        name: Letters, digits, `_` and `-`, at most 64.
        max_bytes: Cap of a result as JSON. The model is told of a larger one and may ask for less.

    Raises:
        TypeError: The function has not the shape `(ctx, arguments: SomeModel)`, or says nowhere
            what it does.
        ValueError: The name has other characters or is too long.
        AlreadyRegistered: The name is taken.

    Example:
        >>> @tool("find_company")
        ... async def find_company(ctx: AgentContext, arguments: CompanyName) -> list[str]:
        ...     '''Find companies by a part of their name.'''
        ...     return await ctx.resource(Crm).find(arguments.name)
    """
    check_name(name, "tool")
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"tool name {name!r}: use at most {_LONGEST_NAME} characters")

    def register(function: F) -> F:
        arguments = _arguments_model(function)
        TOOLS.add(
            ToolDefinition(
                name=name,
                function=function,
                arguments=arguments,
                description=_description(function, arguments),
                max_bytes=max_bytes,
            )
        )
        return function

    return register


def tools_of(ctx: AgentContext, *names: str) -> tuple[Tool, ...]:
    """Return registered tools for `LanguageModel.generate`, bound to the agent's step.

    Raises:
        NotRegistered: There is no such tool; the message lists what exists.

    Example:
        >>> made = await model.generate(prompt, Score, tools=tools_of(ctx, "find_company"))
    """
    return tuple(TOOLS.get(name).bound(ctx) for name in names)


def _arguments_model(function: Callable[..., Any]) -> type[BaseModel]:
    where = f"tool {function.__module__}.{function.__qualname__}"
    parameters = list(inspect.signature(function).parameters)
    if len(parameters) != 2:  # noqa: PLR2004 - the shape has two
        raise TypeError(
            f"{where} must have the shape {_SHAPE}; it has {len(parameters)} parameters"
        )
    model = get_type_hints(function).get(parameters[1])
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise TypeError(f"{where}: annotate {parameters[1]!r} with a pydantic model: {_SHAPE}")
    return model


def _description(function: Callable[..., Any], arguments: type[BaseModel]) -> str:
    said = inspect.getdoc(function) or arguments.__doc__
    if not said:
        raise TypeError(
            f"tool {function.__module__}.{function.__qualname__}: write a docstring that tells the "
            "model what it does"
        )
    return inspect.cleandoc(said)
