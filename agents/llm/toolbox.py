"""Calls the tools that a model asks for: only those it was given, and only so far."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from agents.llm.ask import ToolCall, ToolResult, ToolSchema
from agents.llm.errors import ToolFailed, ToolLimitExceeded, UnknownTool
from agents.llm.output_schema import Misfit, OutputSchema, read_output
from agents.llm.tool import Tool, ToolLimits
from envelope.canonical import canonical_json
from envelope.errors import InvalidInput
from envelope.usage import Usage

_NAMELESS = "(no such tool)"
_NAME_SHOWN = 64

Outcome = Literal["done", "failed", "invalid", "too_large"]


@dataclass(frozen=True, slots=True)
class _Answered:
    outcome: Outcome
    text: str


class Toolbox:
    """The tools of one call of a model, and how far it has gone with them.

    Args:
        tools: What the model may call; nothing that it reads can add to it.
        limits: How far it may go.

    Raises:
        InvalidInput: Two tools share a name.
    """

    def __init__(self, tools: Sequence[Tool], limits: ToolLimits) -> None:
        self._tools = {tool.name: tool for tool in tools}
        if len(self._tools) < len(tools):
            names = ", ".join(tool.name for tool in tools)
            raise InvalidInput(f"Two tools of one call share a name: {names}.")
        self._limits = limits
        self._steps = 0
        self._was_warned = False

    def schemas(self) -> tuple[ToolSchema, ...]:
        """Return the tools as they are described to the model."""
        return tuple(
            ToolSchema(
                name=tool.name,
                description=tool.description,
                arguments=OutputSchema.of(tool.arguments),
            )
            for tool in self._tools.values()
        )

    async def answer(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """Make the calls, some of them at once, and return their results in order.

        Raises:
            ToolLimitExceeded: There were too many of them.
            UnknownTool: A tool that is not here was called, and not for the first time.
            Exception: What a tool raised, other than `ToolFailed`.
        """
        self._count(calls)
        self._refuse_strangers(calls)
        places = asyncio.Semaphore(self._limits.parallel)

        async def placed(call: ToolCall) -> ToolResult:
            async with places:
                return await self._result(call)

        tasks = [asyncio.ensure_future(placed(call)) for call in calls]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def check(self, used: Usage) -> None:
        """Refuse to ask the model again where tokens or money are used up.

        Raises:
            ToolLimitExceeded: They are.
        """
        tokens, usd = used.input_tokens + used.output_tokens, used.cost_usd
        if self._limits.tokens is not None and tokens >= self._limits.tokens:
            raise ToolLimitExceeded(
                f"The model used {tokens:,} tokens without an answer; {self._limits.tokens:,} are "
                "allowed (ToolLimits.tokens)."
            )
        if self._limits.usd is not None and usd >= self._limits.usd:
            raise ToolLimitExceeded(
                f"The model used {usd:.4f} USD without an answer; {self._limits.usd:.4f} are "
                "allowed (ToolLimits.usd)."
            )

    def _count(self, calls: Sequence[ToolCall]) -> None:
        self._steps += len(calls)
        if self._steps > self._limits.steps:
            raise ToolLimitExceeded(
                f"The model wanted {self._steps} tool calls; {self._limits.steps} are allowed "
                "(ToolLimits.steps)."
            )

    def _refuse_strangers(self, calls: Sequence[ToolCall]) -> None:
        strangers = [call.name for call in calls if call.name not in self._tools]
        for _ in strangers:
            self._note_stranger()
        if strangers and self._was_warned:
            raise UnknownTool(
                f"The model called {strangers[0][:_NAME_SHOWN]!r} again, which it was not given. "
                f"{self._given()}"
            )
        self._was_warned = self._was_warned or bool(strangers)

    def _note_stranger(self) -> None:
        """The name is the model's invention, so no event repeats it."""
        for tool in list(self._tools.values())[:1]:
            tool.note(_NAMELESS, "unknown")

    async def _result(self, call: ToolCall) -> ToolResult:
        tool = self._tools.get(call.name)
        if tool is None:
            return ToolResult(call.id, _error(f"There is no such tool. {self._given()}"))
        answered = await _answered(tool, call)
        tool.note(tool.name, answered.outcome)
        return ToolResult(call.id, answered.text)

    def _given(self) -> str:
        return f"Tools given: {', '.join(self._tools) or 'none'}."


async def _answered(tool: Tool, call: ToolCall) -> _Answered:
    arguments = read_output(call.arguments or "{}", tool.arguments, strict=True)
    if isinstance(arguments, Misfit):
        return _Answered("invalid", _error(f"The arguments are not valid: {arguments.problem}"))
    try:
        result = await tool.call(arguments)
    except ToolFailed as problem:
        return _Answered("failed", _error(str(problem)))
    text = _json(tool, result)
    size = len(text.encode())
    if size > tool.max_bytes:
        return _Answered(
            "too_large",
            _error(f"The result has {size:,} bytes of at most {tool.max_bytes:,}. Ask for less."),
        )
    return _Answered("done", text)


def _json(tool: Tool, result: JsonValue) -> str:
    try:
        return canonical_json({"result": result})
    except InvalidInput as problem:
        raise InvalidInput(f"What tool {tool.name!r} returned: {problem}") from None


def _error(message: str) -> str:
    return canonical_json({"error": message})
