"""Puts the pieces of a streamed chat completion together to what it had been whole."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx2
from pydantic import BaseModel

from agents.llm.event_stream import broken_off, read_events
from agents.llm.port import OnDelta


class _Function(BaseModel):
    name: str | None = None
    arguments: str | None = None


class _Call(BaseModel):
    index: int = 0
    id: str | None = None
    function: _Function = _Function()


class _Delta(BaseModel):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(BaseModel):
    delta: _Delta = _Delta()
    finish_reason: str | None = None


class _Chunk(BaseModel):
    model: str | None = None
    choices: list[_Choice] = []
    usage: dict[str, Any] | None = None
    error: Any = None


@dataclass(slots=True)
class _Gathered:
    """What came so far."""

    text: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    model: str | None = None
    usage: dict[str, Any] | None = None
    finish_reason: str | None = None

    def take(self, chunk: _Chunk) -> str:
        """Add a piece; return its text."""
        self.model = chunk.model or self.model
        self.usage = chunk.usage or self.usage
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self.finish_reason = choice.finish_reason or self.finish_reason
        self.refusal.append(choice.delta.refusal or "")
        self._take_calls(choice.delta.tool_calls or ())
        text = choice.delta.content or ""
        self.text.append(text)
        return text

    def _take_calls(self, calls: Iterable[_Call]) -> None:
        for piece in calls:
            call = self.calls.setdefault(
                piece.index, {"id": None, "function": {"name": "", "arguments": ""}}
            )
            call["id"] = piece.id or call["id"]
            call["function"]["name"] += piece.function.name or ""
            call["function"]["arguments"] += piece.function.arguments or ""

    def whole(self) -> str:
        """Return the JSON of the completion."""
        message = {
            "content": "".join(self.text),
            "refusal": "".join(self.refusal) or None,
            "tool_calls": [self.calls[index] for index in sorted(self.calls)],
        }
        choice = {"message": message, "finish_reason": self.finish_reason}
        return json.dumps({"model": self.model, "choices": [choice], "usage": self.usage})


async def read_chat(response: httpx2.Response, on_delta: OnDelta) -> str:
    """Return the completion as the JSON that it had been without streaming.

    Raises:
        ModelBusy: The stream ended before the answer did, or told of an error.
        ModelTimeout: Nothing came for too long.
    """
    gathered = _Gathered()
    async for chunk in read_events(response, _Chunk):
        if chunk.error:
            raise broken_off("it sent an error")
        text = gathered.take(chunk)
        if text:
            on_delta(text)
    if gathered.finish_reason is None:
        raise broken_off("it sent no end")
    return gathered.whole()
