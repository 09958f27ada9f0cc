"""Asks over Chat Completions, which OpenAI-compatible servers without `/responses` offer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai import AsyncOpenAI
from pydantic import BaseModel, Field

from agents.llm.answer import Answer, Tokens, read_reply
from agents.llm.ask import Ask, ToolCall, ToolCalls, ToolResult, ToolSchema, Turn
from agents.llm.chat_stream import read_chat
from agents.llm.dialects import Dialect
from agents.llm.event_stream import comes_in_pieces

_WHOLE = (None, "stop", "tool_calls", "function_call")


class _Cached(BaseModel):
    cached_tokens: Tokens | None = None


class _Used(BaseModel):
    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0
    prompt_tokens_details: _Cached | None = None


class _Function(BaseModel):
    name: str
    arguments: str = ""


class _Call(BaseModel):
    id: str | None = None
    function: _Function


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Reply(BaseModel):
    model: str | None = None
    choices: list[_Choice] = Field(min_length=1)
    usage: _Used | None = None


async def ask_chat(client: AsyncOpenAI, ask: Ask, dialect: Dialect) -> Answer:
    """Ask once; the SDK's errors pass through."""
    request = _request(ask, dialect)
    if ask.on_delta is None:
        raw = await client.chat.completions.with_raw_response.create(**request)
        return _answer(read_reply(_Reply, raw.http_response.content), raw.http_response.headers)
    if dialect.stream_usage:
        request["stream_options"] = {"include_usage": True}
    streaming = client.chat.completions.with_streaming_response.create(**request, stream=True)
    async with streaming as told:
        response = told.http_response
        if comes_in_pieces(response):
            pieces = await read_chat(response, ask.on_delta)
            return _answer(read_reply(_Reply, pieces), response.headers)
        answer = _answer(read_reply(_Reply, await response.aread()), response.headers)
        if answer.text:
            ask.on_delta(answer.text)
        return answer


def _request(ask: Ask, dialect: Dialect) -> dict[str, Any]:
    system = {"role": "system", "content": f"{ask.instructions}\n\n{ask.schema.in_words()}"}
    request: dict[str, Any] = {
        "model": ask.model,
        "messages": [system, *map(_message, ask.turns)],
        dialect.cap: ask.max_output_tokens,
    }
    if dialect.schemas:
        form = {
            "name": ask.schema.name,
            "schema": ask.schema.strict,
            "strict": ask.schema.is_closed,
        }
        request["response_format"] = {"type": "json_schema", "json_schema": form}
    if ask.tools:
        request["tools"] = [_tool(tool, dialect) for tool in ask.tools]
    return request


def _tool(tool: ToolSchema, dialect: Dialect) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.arguments.strict,
    }
    strict = {"strict": tool.arguments.is_closed} if dialect.schemas else {}
    return {"type": "function", "function": {**function, **strict}}


def _message(turn: Turn) -> dict[str, Any]:
    if isinstance(turn, ToolResult):
        return {"role": "tool", "tool_call_id": turn.call_id, "content": turn.text}
    if not isinstance(turn, ToolCalls):
        return {"role": turn.role, "content": turn.text}
    calls = [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in turn.calls
    ]
    return {"role": "assistant", "content": turn.text or None, "tool_calls": calls}


def _answer(reply: _Reply, headers: Mapping[str, str]) -> Answer:
    choice, used = reply.choices[0], reply.usage or _Used()
    cached = used.prompt_tokens_details and used.prompt_tokens_details.cached_tokens
    calls = enumerate(choice.message.tool_calls or (), 1)
    return Answer(
        text=choice.message.content or "",
        calls=tuple(
            ToolCall(call.id or f"call_{number}", call.function.name, call.function.arguments)
            for number, call in calls
        ),
        model=reply.model,
        refusal=choice.message.refusal,
        cut_off=None if choice.finish_reason in _WHOLE else choice.finish_reason,
        input_tokens=used.prompt_tokens,
        cached_tokens=cached or 0,
        output_tokens=used.completion_tokens,
        headers=headers,
    )
