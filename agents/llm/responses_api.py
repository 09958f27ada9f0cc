"""Asks over OpenAI's Responses API with a strict output schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from openai import AsyncOpenAI
from pydantic import BaseModel

from agents.llm.answer import Answer, Message, Tokens, read_reply
from agents.llm.errors import ModelBusy
from agents.llm.output_schema import OutputSchema


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


class _Why(BaseModel):
    reason: str | None = None


class _Error(BaseModel):
    code: str | None = None
    message: str | None = None


class _Reply(BaseModel):
    model: str | None = None
    status: str | None = None
    incomplete_details: _Why | None = None
    error: _Error | None = None
    output: list[_Message | dict[str, Any]]
    usage: _Used | None = None

    def parts(self) -> list[_Part]:
        messages = (item for item in self.output if isinstance(item, _Message))
        return [part for message in messages for part in message.content]


async def ask_responses(
    client: AsyncOpenAI,
    *,
    model: str,
    instructions: str,
    messages: Sequence[Message],
    schema: OutputSchema,
    max_output_tokens: int,
) -> Answer:
    """Ask once; the SDK's errors pass through."""
    said: Any = [{"role": message.role, "content": message.text} for message in messages]
    form: Any = {
        "type": "json_schema",
        "name": schema.name,
        "schema": schema.strict,
        "strict": True,
    }
    raw = await client.responses.with_raw_response.create(
        model=model,
        instructions=instructions,
        input=said,
        text={"format": form},
        max_output_tokens=max_output_tokens,
        store=False,
    )
    return _answer(read_reply(_Reply, raw.http_response.content), raw.http_response.headers)


def _answer(reply: _Reply, headers: Mapping[str, str]) -> Answer:
    if reply.status == "failed" or (reply.error and reply.error.code):
        code = reply.error.code if reply.error else None
        raise ModelBusy(f"The provider accepted the request and then failed ({code or 'no code'}).")
    parts, used = reply.parts(), reply.usage or _Used()
    cut_off = reply.incomplete_details and reply.incomplete_details.reason
    cached = used.input_tokens_details and used.input_tokens_details.cached_tokens
    return Answer(
        text="".join(part.text or "" for part in parts),
        model=reply.model,
        refusal=next((part.refusal for part in parts if part.refusal), None),
        cut_off=cut_off or ("unknown" if reply.status == "incomplete" else None),
        input_tokens=used.input_tokens,
        cached_tokens=cached or 0,
        output_tokens=used.output_tokens,
        headers=headers,
    )
