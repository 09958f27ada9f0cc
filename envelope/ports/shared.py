"""Small values that all processes share for a while: what circuit breakers and caches know.

Everything in it may be lost at any time. Then a breaker is closed and a cache is cold.
"""

from __future__ import annotations

from typing import Protocol


class SharedStore(Protocol):
    """Texts by key, each for a limited time. Belongs to one event loop.

    Every method raises `QueueUnavailable` when the store is away, `InvalidInput` for an empty key
    or a time that is not above 0.
    """

    async def get(self, key: str) -> str | None:
        """Return the value; None where there is none any more."""

    async def put(self, key: str, value: str, ttl: float) -> None:
        """Keep a value for `ttl` seconds, in the place of any other."""

    async def add(self, key: str, value: str, ttl: float) -> bool:
        """Keep a value for `ttl` seconds if there is none; return whether it was kept."""

    async def count(self, key: str, ttl: float) -> int:
        """Add 1 to a counter and return it; it is forgotten `ttl` seconds after its first count."""

    async def discard(self, key: str, value: str | None = None) -> bool:
        """Forget a key, or only if it has this value; return whether it was forgotten."""

    async def aclose(self) -> None:
        """Let go of connections."""
