"""What a caller asks for, checked before anything is done."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from envelope.errors import InvalidInput

_LONGEST_TEXT = 4_000
_LARGEST_METADATA = 16 * 1024
_SHORTEST_TTL = 0.1
_LONGEST_TTL = 366 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRequest:
    """A request for a lock; see `Locks.acquire`.

    Raises:
        InvalidInput: A part of it makes no sense; says which and what does.
    """

    key: str
    owner: str
    ttl: float
    wait: float | None
    why: str
    metadata: Mapping[str, str]

    def __post_init__(self) -> None:
        check_name("key", self.key)
        check_name("owner", self.owner)
        _check_text("why", self.why)
        _check_ttl(self.ttl)
        _check_wait(self.wait)
        _check_metadata(self.metadata)


def check_name(what: str, value: object) -> None:
    """Check the key or owner of a lock.

    Raises:
        InvalidInput: It is not text, is empty, too long, or not encodable.
    """
    _check_text(what, value)
    if not value:
        raise InvalidInput(f"The {what} of a lock is empty.")


def _check_text(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidInput(f"The {what} of a lock must be text, not {type(value).__name__}.")
    if len(value) > _LONGEST_TEXT:
        raise InvalidInput(
            f"The {what} of a lock has {len(value)} characters; {_LONGEST_TEXT} are the most."
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"The {what} of a lock holds a lone surrogate.") from None


def _check_ttl(ttl: object) -> None:
    if not _is_number(ttl) or not _SHORTEST_TTL <= ttl <= _LONGEST_TTL:  # type: ignore[operator]
        raise InvalidInput(
            f"The ttl of a lock is {ttl!r}; it is a number of seconds from {_SHORTEST_TTL:g} "
            "to a year."
        )


def _check_wait(wait: object) -> None:
    if wait is not None and (not _is_number(wait) or wait < 0):  # type: ignore[operator]
        raise InvalidInput(
            f"The wait for a lock is {wait!r}; it is a number of seconds, 0 not to wait, "
            "or None for ever."
        )


def _check_metadata(metadata: object) -> None:
    if not isinstance(metadata, Mapping) or not all(
        isinstance(part, str) for pair in metadata.items() for part in pair
    ):
        raise InvalidInput("The metadata of a lock is a mapping of text to text.")
    if len(json.dumps(dict(metadata))) > _LARGEST_METADATA:
        raise InvalidInput(f"The metadata of a lock exceeds {_LARGEST_METADATA} bytes as JSON.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
