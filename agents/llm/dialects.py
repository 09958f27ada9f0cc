"""How a server is spoken to: a table of those that are known, and a ladder for all others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

Api = Literal["auto", "responses", "chat"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What a server understands.

    Attributes:
        api: Responses or Chat Completions.
        schemas: Takes an output schema and strict tools. Otherwise the schema is told in words
            alone, as it is anyway over Chat Completions.
        cap: What it calls the cap of the answer, over Chat Completions.
        stream_usage: Tells the usage of a streamed answer when asked to, over Chat Completions.
    """

    api: Literal["responses", "chat"]
    schemas: bool = True
    cap: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    stream_usage: bool = True


RESPONSES: Final = Dialect(api="responses")
CHAT: Final = Dialect(api="chat")
PLAIN_CHAT: Final = Dialect(api="chat", schemas=False, cap="max_tokens", stream_usage=False)

LADDER: Final = (RESPONSES, CHAT, PLAIN_CHAT)
"""What an unknown server is tried with, best first."""

KNOWN: Final[Mapping[str, Dialect]] = {
    "api.openai.com": RESPONSES,
    "api.anthropic.com": CHAT,
    "generativelanguage.googleapis.com": CHAT,
    "api.mistral.ai": Dialect(api="chat", cap="max_tokens", stream_usage=False),
    "api.deepseek.com": Dialect(api="chat", schemas=False, cap="max_tokens"),
}
"""By host. What is not here is found out by asking."""


class Dialects:
    """Remembers what each model of one server understood; requests with tools count apart.

    Args:
        base_url: The server.
        api: The API to keep to; `auto` leaves it to table and ladder.
    """

    def __init__(self, base_url: str, api: Api) -> None:
        self._tried = _candidates(base_url, api)
        self._learned: dict[tuple[str, bool], Dialect] = {}

    def ladder(self, model: str, *, tools: bool) -> tuple[Dialect, ...]:
        """Return what to try, in order; one alone where it is known."""
        learned = self._learned.get((model, tools))
        return self._tried if learned is None else (learned,)

    def understood(self, model: str, dialect: Dialect, *, tools: bool) -> None:
        """Keep to `dialect` from now on."""
        self._learned[model, tools] = dialect


def _candidates(base_url: str, api: Api) -> tuple[Dialect, ...]:
    known = KNOWN.get(_host(base_url))
    if known is not None and api in {"auto", known.api}:
        return (known,)
    return tuple(dialect for dialect in LADDER if api in {"auto", dialect.api})


def _host(base_url: str) -> str:
    try:
        return urlsplit(base_url).hostname or ""
    except ValueError:
        return ""
