"""A tool as a model sees it: a name, a typed input, and what answers. `agents.tools` makes them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, JsonValue, NonNegativeInt, PositiveFloat, PositiveInt

from envelope.model import Contract


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool that one call may use, bound to the step that the call belongs to.

    Attributes:
        name: Its name, for the model and in events.
        description: What it does and when to use it, for the model.
        arguments: The model that arguments are validated by; its schema reaches the model.
        call: Does the work and returns JSON.
        note: Told the name and the outcome of each call, for progress events: `done`, `failed`,
            `invalid` (arguments), `too_large` (result) or `unknown` (no such tool).
        max_bytes: Cap of a result as JSON, in bytes.
    """

    name: str
    description: str
    arguments: type[BaseModel]
    call: Callable[[Any], Awaitable[JsonValue]]
    note: Callable[[str, str], None]
    max_bytes: int = 64_000


class ToolLimits(Contract):
    """How far a call with tools may go. A limit that is passed ends it with `ToolLimitExceeded`.

    Attributes:
        steps: Tool calls in all, refused ones included; 0 for none.
        usd: Price of the call's own requests to the model in US dollars; None for no limit. A price
            that is unknown counts as 0. Once it is reached the model is not asked again.
        tokens: Their tokens, sent and received; None for no limit. As `usd`.
        parallel: How many tool calls run at once.
    """

    steps: NonNegativeInt = 8
    usd: PositiveFloat | None = None
    tokens: PositiveInt | None = None
    parallel: PositiveInt = 4
