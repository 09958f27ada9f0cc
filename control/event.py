"""What a trigger tells the campaign manager."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FiniteFloat,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from envelope.errors import InvalidInput
from envelope.model import Contract

HIGHEST_PRIORITY = 9
LONGEST_DELAY_SECONDS = 366 * 86_400.0
_MOST_TAGS = 32
_MOST_TOKENS = 2**53


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


def _as_time(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value.strip())
    except ValueError:
        raise ValueError(
            f"{value[:40]!r} is no ISO 8601 time, such as 2030-01-31T09:00:00+01:00"
        ) from None


def _with_zone(at: datetime) -> datetime:
    """A time without zone means another moment on each machine that reads it."""
    if at.utcoffset() is None:
        raise ValueError(
            f"{at.isoformat()} has no time zone; say which, such as {at.isoformat()}+00:00"
        )
    return at


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
        at: Moment before which it may not start, a datetime with time zone or ISO 8601; one that
            has passed means now. Excludes `delay`.
        budget_tokens: Tokens that the run and its children may use; None for no limit.
        budget_usd: The same in US dollars.
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
    at: Annotated[datetime, BeforeValidator(_as_time), AfterValidator(_with_zone)] | None = None
    budget_tokens: Annotated[int, Field(ge=1, le=_MOST_TOKENS)] | None = None
    budget_usd: Annotated[FiniteFloat, Field(gt=0), BeforeValidator(_as_float)] | None = None
    allow_delivery: bool = False
    trace_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None

    @model_validator(mode="after")
    def _starts_once(self) -> Self:
        if self.at is None:
            return self
        if self.delay:
            raise ValueError("'at' and 'delay' exclude each other; give one of them")
        if self.wait_seconds > LONGEST_DELAY_SECONDS:
            days = LONGEST_DELAY_SECONDS / 86_400
            raise ValueError(f"'at' is more than {days:g} days ahead; enqueue the run later")
        return self

    @property
    def wait_seconds(self) -> float:
        """Seconds from now until the run may start."""
        if self.at is None:
            return self.delay
        return max(0.0, (self.at - datetime.now(UTC)).total_seconds())

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
    said = detail["msg"].removeprefix("Value error, ")
    return f"Event: {where!r}: {said}." if where else f"Event: {said}."


def _near(name: str) -> str:
    near = difflib.get_close_matches(name, Event.model_fields, n=1)
    if near:
        return f" Did you mean {near[0]!r}?"
    return f" Fields: {', '.join(Event.model_fields)}."
