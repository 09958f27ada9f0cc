"""Asks over Chat Completions, which OpenAI-compatible servers without `/responses` offer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openai import AsyncOpenAI
from pydantic import BaseModel, Field

from agents.llm.answer import Answer, Message, Tokens, read_reply
from agents.llm.output_schema import OutputSchema

_WHOLE = (None, "stop")


class _Cached(BaseModel):
    cached_tokens: Tokens | None = None


class _Used(BaseModel):
    prompt_tokens: Tokens = 0
    completion_tokens: Tokens = 0
    prompt_tokens_details: _Cached | None = None


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Reply(BaseModel):
    model: str | None = None
    choices: list[_Choice] = Field(min_length=1)
    usage: _Used | None = None


async def ask_chat(
    client: AsyncOpenAI,
    *,
    model: str,
    instructions: str,
    messages: Sequence[Message],
    schema: OutputSchema,
    max_output_tokens: int,
) -> Answer:
    """Ask once; the SDK's errors pass through."""
    system: Any = {"role": "system", "content": f"{instructions}\n\n{schema.in_words()}"}
    said: Any = [{"role": message.role, "content": message.text} for message in messages]
    form: Any = {
        "type": "json_schema",
        "json_schema": {"name": schema.name, "schema": schema.strict, "strict": True},
    }
    raw = await client.chat.completions.with_raw_response.create(
        model=model,
        messages=[system, *said],
        response_format=form,
        max_completion_tokens=max_output_tokens,
    )
    return _answer(read_reply(_Reply, raw.http_response.content), raw.http_response.headers)


def _answer(reply: _Reply, headers: Mapping[str, str]) -> Answer:
    choice, used = reply.choices[0], reply.usage or _Used()
    cached = used.prompt_tokens_details and used.prompt_tokens_details.cached_tokens
    return Answer(
        text=choice.message.content or "",
        model=reply.model,
        refusal=choice.message.refusal,
        cut_off=None if choice.finish_reason in _WHOLE else choice.finish_reason,
        input_tokens=used.prompt_tokens,
        cached_tokens=cached or 0,
        output_tokens=used.completion_tokens,
        headers=headers,
    )
