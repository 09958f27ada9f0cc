"""The most recently used values, for a limited time, and how often they were of use."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final, Generic, TypeVar

from envelope.errors import InvalidInput

V = TypeVar("V")

MISSING: Final = object()
"""What `get` returns for a key that is not there: any value may be cached, None too."""


@dataclass(slots=True)
class CacheStats:
    """How a cache did, since this process started.

    Attributes:
        hits: Answers from this process's memory.
        shared_hits: Answers from the store that processes share.
        joined: Answers of a call that was under way for somebody else.
        misses: Answers that had to be made.
        evictions: Values that made room for newer ones.
    """

    hits: int = 0
    shared_hits: int = 0
    joined: int = 0
    misses: int = 0
    evictions: int = 0

    @property
    def hit_rate(self) -> float:
        """The share of answers that did not have to be made; 0 where nobody asked yet."""
        saved = self.hits + self.shared_hits + self.joined
        asked = saved + self.misses
        return saved / asked if asked else 0.0

    def to_json(self) -> dict[str, float]:
        """Return the counts and the hit rate."""
        return {**asdict(self), "hit_rate": self.hit_rate}


class LruCache(Generic[V]):
    """Values by key; the one that was used longest ago makes room. Any thread may use it.

    Args:
        max_size: How many values are kept.
        ttl: Seconds that a value is kept; None for as long as there is room.
        clock: Tells the time in seconds.

    Raises:
        InvalidInput: A limit is out of range.
    """

    def __init__(
        self,
        max_size: int,
        ttl: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_size < 1:
            raise InvalidInput(f"A cache keeps at least 1 value, not {max_size}.")
        if ttl is not None and not (math.isfinite(ttl) and ttl > 0):
            raise InvalidInput(f"A cache's ttl is a number of seconds above 0, not {ttl!r}.")
        self.stats = CacheStats()
        self._max_size = max_size
        self._ttl = math.inf if ttl is None else ttl
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Any, tuple[V, float]] = OrderedDict()

    def get(self, key: Any) -> V | Any:
        """Return the value, or `MISSING`; counts neither as hit nor as miss."""
        with self._lock:
            value, until = self._kept.get(key, (MISSING, math.inf))
            if until <= self._clock():
                del self._kept[key]
                return MISSING
            if value is not MISSING:
                self._kept.move_to_end(key)
            return value

    def put(self, key: Any, value: V) -> None:
        """Keep a value from now on."""
        with self._lock:
            self._kept[key] = (value, self._clock() + self._ttl)
            self._kept.move_to_end(key)
            while len(self._kept) > self._max_size:
                self._kept.popitem(last=False)
                self.stats.evictions += 1

    def clear(self) -> None:
        """Forget all values; the counts stay."""
        with self._lock:
            self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)
