"""What a trigger tells the campaign manager."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FiniteFloat,
    StringConstraints,
    ValidationError,
)
from pydantic_core import ErrorDetails

from envelope.errors import InvalidInput
from envelope.model import Contract

HIGHEST_PRIORITY = 9
LONGEST_DELAY_SECONDS = 366 * 86_400.0
_MOST_TAGS = 32


def _printable(text: str) -> str:
    """Names end up in rows, queues and terminals: control characters break all three."""
    if not text.isprintable():
        raise ValueError("holds a character that cannot be printed")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
TagName = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_printable)]
TagValue = Annotated[str, StringConstraints(max_length=256), AfterValidator(_printable)]


def _as_float(value: object) -> object:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Event(Contract):
    """A trigger: which flow to run on which payload, and for whom.

    Attributes:
        flow: Name of a registered flow; its newest version runs.
        payload: The flow's input, a mapping or a pydantic model.
        source: What triggered: `api`, `cli`, `webhook`, `schedule`, …
        tenant: Whose run it is, for fairness and separation.
        user: The user to run for.
        thread: That user's thread.
        key: Idempotency key within tenant and flow: the same key and payload name the same run.
        tags: Labels to find the run by.
        priority: 0 (default) to 9, which goes first.
        delay: Seconds before the run may start.
        allow_delivery: Whether the run may act on the outside world.
        trace_id: W3C trace id, 32 hex digits; one is made where none is given.
    """

    flow: Name
    payload: Any
    source: Name = "api"
    tenant: Name = "default"
    user: Name | None = None
    thread: Name | None = None
    key: Name | None = None
    tags: Annotated[dict[TagName, TagValue], Field(max_length=_MOST_TAGS)] = Field(
        default_factory=dict
    )
    priority: Annotated[int, Field(ge=0, le=HIGHEST_PRIORITY)] = 0
    delay: Annotated[
        FiniteFloat, Field(ge=0, le=LONGEST_DELAY_SECONDS), BeforeValidator(_as_float)
    ] = 0.0
    allow_delivery: bool = False
    trace_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None

    @classmethod
    def of(cls, given: Event | Mapping[str, Any]) -> Event:
        """Read an event from what a trigger sent.

        Raises:
            InvalidInput: A field is missing, unknown or out of range; the message names it.
        """
        if isinstance(given, Event):
            return given
        if not isinstance(given, Mapping):
            raise InvalidInput(f"An event is a mapping, not {type(given).__name__}.")
        try:
            return cls.model_validate(dict(given))
        except ValidationError as problem:
            details = problem.errors(include_url=False, include_input=False)
            raise InvalidInput(" ".join(map(_sentence, details))) from None


def _sentence(detail: ErrorDetails) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"Event: there is no field {where!r}.{_near(where)}"
    if detail["type"] == "missing":
        return f"Event: {where!r} is missing."
    return f"Event: {where!r}: {detail['msg'].removeprefix('Value error, ')}."


def _near(name: str) -> str:
    near = difflib.get_close_matches(name, Event.model_fields, n=1)
    if near:
        return f" Did you mean {near[0]!r}?"
    return f" Fields: {', '.join(Event.model_fields)}."
