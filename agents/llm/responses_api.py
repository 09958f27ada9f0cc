"""Asks over OpenAI's Responses API with a strict output schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import httpx2
from openai import AsyncOpenAI
from pydantic import BaseModel

from agents.llm.answer import Answer, Tokens, read_reply
from agents.llm.ask import Ask, ToolCall, ToolCalls, ToolResult, Turn
from agents.llm.errors import ModelBusy
from agents.llm.event_stream import broken_off, comes_in_pieces, read_events


class _Cached(BaseModel):
    cached_tokens: Tokens | None = None


class _Used(BaseModel):
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    input_tokens_details: _Cached | None = None


class _Part(BaseModel):
    text: str | None = None
    refusal: str | None = None


class _Message(BaseModel):
    type: Literal["message"]
    content: list[_Part]


class _Call(BaseModel):
    type: Literal["function_call"]
    call_id: str
    name: str
    arguments: str


class _Why(BaseModel):
    reason: str | None = None


class _Error(BaseModel):
    code: str | None = None
    message: str | None = None


_Item = _Message | _Call | dict[str, Any]


class _Reply(BaseModel):
    model: str | None = None
    status: str | None = None
    incomplete_details: _Why | None = None
    error: _Error | None = None
    output: list[_Item]
    usage: _Used | None = None

    def parts(self) -> list[_Part]:
        messages = (item for item in self.output if isinstance(item, _Message))
        return [part for message in messages for part in message.content]

    def calls(self) -> tuple[ToolCall, ...]:
        wanted = (item for item in self.output if isinstance(item, _Call))
        return tuple(ToolCall(call.call_id, call.name, call.arguments) for call in wanted)


class _Event(BaseModel):
    """Of the many kinds of events, what four of them carry."""

    type: str
    delta: Any = None
    item: _Item | None = None
    response: _Reply | dict[str, Any] | None = None


_TEXT = "response.output_text.delta"
_ITEM = "response.output_item.done"
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_ERROR = "error"


async def ask_responses(client: AsyncOpenAI, ask: Ask) -> Answer:
    """Ask once; the SDK's errors pass through."""
    if ask.on_delta is None:
        raw = await client.responses.with_raw_response.create(**_request(ask))
        return _answer(read_reply(_Reply, raw.http_response.content), raw.http_response.headers)
    streaming = client.responses.with_streaming_response.create(**_request(ask), stream=True)
    async with streaming as told:
        return await _streamed(told.http_response, ask)


def _request(ask: Ask) -> dict[str, Any]:
    form = {
        "type": "json_schema",
        "name": ask.schema.name,
        "schema": ask.schema.strict,
        "strict": ask.schema.is_closed,
    }
    request: dict[str, Any] = {
        "model": ask.model,
        "instructions": ask.instructions,
        "input": [item for turn in ask.turns for item in _items(turn)],
        "text": {"format": form},
        "max_output_tokens": ask.max_output_tokens,
        "store": False,
    }
    if ask.tools:
        request["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.arguments.strict,
                "strict": tool.arguments.is_closed,
            }
            for tool in ask.tools
        ]
    return request


def _items(turn: Turn) -> list[dict[str, Any]]:
    """Nothing is stored at the provider: earlier calls are told again, without their ids there."""
    if isinstance(turn, ToolResult):
        return [{"type": "function_call_output", "call_id": turn.call_id, "output": turn.text}]
    if not isinstance(turn, ToolCalls):
        return [{"role": turn.role, "content": turn.text}]
    said = [{"role": "assistant", "content": turn.text}] if turn.text else []
    return [
        *said,
        *(
            {
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }
            for call in turn.calls
        ),
    ]


async def _streamed(response: httpx2.Response, ask: Ask) -> Answer:
    if not comes_in_pieces(response):
        return _told(_answer(read_reply(_Reply, await response.aread()), response.headers), ask)
    done: list[_Item] = []
    async for event in read_events(response, _Event):
        if event.type == _TEXT and isinstance(event.delta, str):
            _tell(ask, event.delta)
        elif event.type == _ITEM and event.item is not None:
            done.append(event.item)
        elif event.type in _ENDS and isinstance(event.response, _Reply):
            # Some servers close with a summary that leaves the output out.
            output = event.response.output or done
            whole = event.response.model_copy(update={"output": output})
            return _answer(whole, response.headers)
        elif event.type == _ERROR:
            raise broken_off("it sent an error")
    raise broken_off("it sent no end")


def _told(answer: Answer, ask: Ask) -> Answer:
    _tell(ask, answer.text)
    return answer


def _tell(ask: Ask, text: str) -> None:
    if ask.on_delta is not None and text:
        ask.on_delta(text)


def _answer(reply: _Reply, headers: Mapping[str, str]) -> Answer:
    if reply.status == "failed" or (reply.error and reply.error.code):
        code = reply.error.code if reply.error else None
        raise ModelBusy(f"The provider accepted the request and then failed ({code or 'no code'}).")
    parts, used = reply.parts(), reply.usage or _Used()
    cut_off = reply.incomplete_details and reply.incomplete_details.reason
    cached = used.input_tokens_details and used.input_tokens_details.cached_tokens
    return Answer(
        text="".join(part.text or "" for part in parts),
        calls=reply.calls(),
        model=reply.model,
        refusal=next((part.refusal for part in parts if part.refusal), None),
        cut_off=cut_off or ("unknown" if reply.status == "incomplete" else None),
        input_tokens=used.input_tokens,
        cached_tokens=cached or 0,
        output_tokens=used.output_tokens,
        headers=headers,
    )
