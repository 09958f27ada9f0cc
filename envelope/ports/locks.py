"""Locks: one owner at a time for a key, with an owner token, a term, and a fencing number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Protocol
from urllib.parse import quote

from envelope.errors import InvalidInput

DEFAULT_TTL = 900.0
"""Seconds that a lock outlives its owner at most."""


def lock_key(template: str, /, **parts: object) -> str:
    """Render a template such as `run:{user}:{thread}`; parts are quoted, so that none collide.

    Args:
        template: The key, with names in braces.
        parts: What stands for the names: text or a whole number. Others are left out.

    Raises:
        InvalidInput: A part is missing, None or empty, or the template is malformed.
    """
    return "".join(
        literal if name is None else literal + _quoted_part(template, name, parts.get(name))
        for literal, name in _pieces(template)
    )


def _pieces(template: str) -> Iterator[tuple[str, str | None]]:
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise _malformed(template, str(error)) from None
    for literal, name, form, conversion in pieces:
        if name is not None and (not name.isidentifier() or form or conversion):
            raise _malformed(template, f"{name!r} is not a plain name")
        yield literal, name


def _malformed(template: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"The lock key {template!r} is malformed ({why}). Write names in braces, such as "
        "run:{user}:{thread}; a brace itself is written twice."
    )


def _quoted_part(template: str, name: str, value: object) -> str:
    if value is None or value == "":
        raise InvalidInput(f"The lock key {template!r} needs {name!r}, which is missing.")
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise InvalidInput(
            f"The lock key {template!r} takes text or a whole number for {name!r}, "
            f"not {type(value).__name__}."
        )
    try:
        return quote(str(value), safe="")
    except UnicodeEncodeError:
        raise InvalidInput(
            f"The lock key {template!r} cannot hold a lone surrogate, as {name!r} does."
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockInfo:
    """A lock that is held.

    Attributes:
        key: What is locked.
        owner: The token that may release it.
        fence: Rises with every acquisition of any key, across a flush too; hand it to what the
            lock protects, so that a late write of an earlier owner can be refused.
        holder: Who that is, for people: host and process.
        why: What for.
        since: When it was acquired, in seconds since 1970 by Redis's clock.
        expires_in: Seconds until it lapses unless it is renewed.
        metadata: Whatever the owner noted.
    """

    key: str
    owner: str
    fence: int
    holder: str
    why: str
    since: float
    expires_in: float
    metadata: Mapping[str, str]


class Locks(Protocol):
    """The locks as one process sees them; belongs to one event loop."""

    async def acquire(
        self,
        key: str,
        *,
        owner: str,
        ttl: float = DEFAULT_TTL,
        wait: float | None = 0.0,
        why: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> LockInfo:
        """Acquire a lock, which is renewed from then on until it is released or lost.

        Args:
            key: What to lock. Parts that users choose must be quoted by `lock_key`.
            owner: The same owner gets the lock again at once: a resumed run keeps its lock.
            ttl: Seconds after which it lapses when it is not renewed.
            wait: Seconds to wait in order of asking; None for ever.
            why: What for, for people.
            metadata: Notes for people.

        Raises:
            LockHeld: Another owner has it and `wait` is over; names the holder.
            QueueUnavailable: Redis is away.
            InvalidInput: An argument makes no sense.
        """

    async def release(self, key: str, owner: str) -> bool:
        """Release by compare-and-delete; False where the owner has it no more.

        Raises:
            QueueUnavailable: Redis is away. It is released when Redis is back, or lapses.
        """

    async def check(self, key: str) -> LockInfo | None:
        """Return who has it."""

    async def held(self) -> Sequence[LockInfo]:
        """Return every lock, by key."""

    def lost(self, key: str, owner: str) -> bool:
        """Whether a lock that this process acquired was lost since: another may have it."""

    async def until_lost(self, key: str, owner: str) -> None:
        """Return once `lost` is true; never while the lock is held or after it was released."""

    async def close(self) -> None:
        """Stop renewing and let go of connections; what is held lapses with its term."""
