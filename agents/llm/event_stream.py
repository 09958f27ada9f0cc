"""Reads an answer that comes in pieces, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, TypeVar

import httpx2
from pydantic import BaseModel

from agents.llm.answer import read_reply
from agents.llm.errors import ModelBusy, ModelTimeout

E = TypeVar("E", bound=BaseModel)

_LAST: Final = "[DONE]"


def comes_in_pieces(response: httpx2.Response) -> bool:
    """Whether the server streams; one that cannot sends the whole answer all the same."""
    kind, _, _ = response.headers.get("content-type", "").partition(";")
    return bool(kind.strip().lower() == "text/event-stream")


async def read_events(response: httpx2.Response, event: type[E]) -> AsyncIterator[E]:
    """Yield the events of a stream, validated; the client caps how many bytes are read.

    Raises:
        ModelBusy: The connection broke off, or an event is not one of the API.
        ModelTimeout: Nothing came for too long.
    """
    try:
        async for sent in httpx2.EventSource(response, max_event_size=None):
            if sent.data == _LAST:
                return
            if sent.data:
                yield read_reply(event, sent.data)
    except httpx2.TimeoutException:
        raise ModelTimeout("The model server fell silent in the middle of its answer.") from None
    except httpx2.TransportError as error:
        raise broken_off(type(error).__name__) from None


def broken_off(why: str) -> ModelBusy:
    """Return the error for a stream that is not whole."""
    return ModelBusy(f"The model server broke off in the middle of its answer ({why}).")
