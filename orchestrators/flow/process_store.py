"""A shared store in the memory of this process: what breakers and caches use without any other."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from envelope.errors import InvalidInput

_SWEEP_ABOVE = 1_000


@dataclass(slots=True)
class _Kept:
    value: str
    until: float


class ProcessStore:
    """Implements `envelope.ports.shared.SharedStore` for the callers of this object.

    Args:
        clock: Tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._sweep_at = _SWEEP_ABOVE

    async def get(self, key: str) -> str | None:
        """Return the value; None where there is none any more."""
        kept = self._living(checked_key(key))
        return kept.value if kept else None

    async def put(self, key: str, value: str, ttl: float) -> None:
        """Keep a value for `ttl` seconds, in the place of any other."""
        self._keep(checked_key(key), value, checked_ttl(ttl))

    async def add(self, key: str, value: str, ttl: float) -> bool:
        """Keep a value for `ttl` seconds if there is none; return whether it was kept."""
        checked_ttl(ttl)
        if self._living(checked_key(key)) is not None:
            return False
        self._keep(key, value, ttl)
        return True

    async def count(self, key: str, ttl: float) -> int:
        """Add 1 to a counter and return it; it is forgotten `ttl` seconds after its first count."""
        checked_ttl(ttl)
        kept = self._living(checked_key(key))
        if kept is None:
            self._keep(key, "1", ttl)
            return 1
        kept.value = str(int(kept.value) + 1)
        return int(kept.value)

    async def discard(self, key: str, value: str | None = None) -> bool:
        """Forget a key, or only if it has this value; return whether it was forgotten."""
        kept = self._living(checked_key(key))
        if kept is None or value not in {None, kept.value}:
            return False
        del self._kept[key]
        return True

    async def aclose(self) -> None:
        """Forget everything."""
        self._kept.clear()

    def _living(self, key: str) -> _Kept | None:
        kept = self._kept.get(key)
        return kept if kept is not None and kept.until > self._clock() else None

    def _keep(self, key: str, value: str, ttl: float) -> None:
        now = self._clock()
        self._kept[key] = _Kept(value, now + ttl)
        if len(self._kept) > self._sweep_at:
            self._kept = {name: kept for name, kept in self._kept.items() if kept.until > now}
            self._sweep_at = max(_SWEEP_ABOVE, 2 * len(self._kept))


def checked_key(key: str) -> str:
    """Return the key.

    Raises:
        InvalidInput: It is empty.
    """
    if not key:
        raise InvalidInput("A shared value needs a key.")
    return key


def checked_ttl(seconds: float) -> float:
    """Return the seconds.

    Raises:
        InvalidInput: They are no number above 0.
    """
    if not (math.isfinite(seconds) and seconds > 0):
        raise InvalidInput(f"A shared value is kept for seconds above 0, not {seconds!r}.")
    return seconds
