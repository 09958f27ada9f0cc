"""What a provider is asked, in a form that none of its APIs prescribes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agents.llm.output_schema import OutputSchema
from agents.llm.port import Message, OnDelta


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model wants made; `arguments` is hopefully JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """A turn of the model that asks for tools, with what it said besides."""

    text: str
    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered, as JSON."""

    call_id: str
    text: str


Turn = Message | ToolCalls | ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSchema:
    """A tool as it is described to the model."""

    name: str
    description: str
    arguments: OutputSchema


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request.

    Attributes:
        model: The model asked for.
        instructions: What rules it.
        turns: What was said so far.
        schema: What the answer has to fit.
        tools: What the model may call.
        max_output_tokens: Cap of the answer.
        on_delta: Takes the text as it comes; None for the whole answer at once.
    """

    model: str
    instructions: str
    turns: tuple[Turn, ...]
    schema: OutputSchema
    tools: tuple[ToolSchema, ...]
    max_output_tokens: int
    on_delta: OnDelta | None

    def texts(self) -> Iterator[str]:
        """Yield all texts that are sent, for an estimate of their tokens."""
        yield self.instructions
        yield self.schema.in_words()
        for tool in self.tools:
            yield tool.description + tool.arguments.in_words()
        for turn in self.turns:
            yield turn.text
            if isinstance(turn, ToolCalls):
                yield from (call.arguments for call in turn.calls)
