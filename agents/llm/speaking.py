"""Asks a server in the dialect that it understands, which is found out once."""

from __future__ import annotations

from typing import Literal

import openai
from openai import AsyncOpenAI

from agents.llm.answer import Answer
from agents.llm.ask import Ask
from agents.llm.chat_api import ask_chat
from agents.llm.dialects import Dialect, Dialects
from agents.llm.responses_api import ask_responses

_NO_SUCH_ROUTE = frozenset({404, 405, 501})
_NOT_UNDERSTOOD = frozenset({400, 422})
_NO_SUCH_MODEL = "model_not_found"


async def speak(client: AsyncOpenAI, dialects: Dialects, ask: Ask) -> Answer:
    """Ask in the best dialect that the server takes; the SDK's errors pass through.

    A server that lacks a route or does not understand the request is asked in the next dialect. It
    is kept to the first one that it answers; one that answers none is tried anew the next time.
    """
    tools, missing = bool(ask.tools), set[Literal["responses", "chat"]]()
    refusals: list[openai.APIStatusError] = []
    for dialect in dialects.ladder(ask.model, tools=tools):
        if dialect.api in missing:
            continue
        try:
            answer = await _ask_in(dialect, client, ask)
        except openai.APIStatusError as error:
            if error.code == _NO_SUCH_MODEL:
                raise
            if error.status_code in _NO_SUCH_ROUTE:
                missing.add(dialect.api)
            elif error.status_code not in _NOT_UNDERSTOOD:
                raise
            refusals.append(error)
        else:
            dialects.understood(ask.model, dialect, tools=tools)
            return answer
    raise _most_telling(refusals)


async def _ask_in(dialect: Dialect, client: AsyncOpenAI, ask: Ask) -> Answer:
    if dialect.api == "responses":
        return await ask_responses(client, ask)
    return await ask_chat(client, ask, dialect)


def _most_telling(refusals: list[openai.APIStatusError]) -> openai.APIStatusError:
    """The best dialect's refusal says most, unless it was only that there is no such route."""
    told = [error for error in refusals if error.status_code in _NOT_UNDERSTOOD]
    return told[0] if told else refusals[-1]
