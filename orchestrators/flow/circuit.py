"""The states of a circuit breaker, kept in the shared store.

Closed: failures are counted within a window. Too many of them open it. Open: nothing passes, for a
while. Then it is half open: a few trials pass. One that succeeds closes it, one that fails opens it
again ("Circuit Breaker", M. Nygard, Release It!, 2007).

Keys, all below `breaker:<name>:`: `failures` counts; `open` exists while it is open; `tripped`
holds the trip's own id from then on until a trial of it succeeds; `trials:<id>` counts its trials.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from envelope.ports.shared import SharedStore
from orchestrators.flow.errors import InvalidFlow

_REMEMBERED = 10
"""A trip that nobody tries to get over is forgotten after so many times `open_seconds`."""


class CircuitState(StrEnum):
    """What a breaker lets through: everything, nothing, or a few trials."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitPolicy:
    """When a breaker opens, and how it closes.

    Attributes:
        failures: So many within the window open it.
        window_seconds: Counted from the first failure.
        open_seconds: How long nothing passes.
        trials: How many calls may try, once that time is over. A trial that never ends is
            forgotten after `open_seconds`.
    """

    failures: int = 5
    window_seconds: float = 60.0
    open_seconds: float = 30.0
    trials: int = 1

    def __post_init__(self) -> None:
        times = (self.window_seconds, self.open_seconds)
        if self.failures < 1 or self.trials < 1 or not all(0 < t < math.inf for t in times):
            raise InvalidFlow(
                f"A circuit breaker needs failures and trials of at least 1 and times above 0, "
                f"not {asdict(self)}."
            )


@dataclass(frozen=True, slots=True)
class Pass:
    """What a caller was told: the state, and of which trip it is a trial."""

    state: CircuitState
    trip: str | None = None

    def to_json(self) -> list[str | None]:
        """Return it as the run records it."""
        return [self.state.value, self.trip]

    @classmethod
    def of(cls, recorded: Any) -> Pass:
        """Take it from the record."""
        return cls(CircuitState(recorded[0]), recorded[1])


class Circuit:
    """One breaker, as far as the store knows it.

    Args:
        store: Where the state is.
        name: The breaker's name; breakers of one name are one.
        policy: When it opens and closes.
    """

    def __init__(self, store: SharedStore, name: str, policy: CircuitPolicy) -> None:
        self._store = store
        self._policy = policy
        key = f"breaker:{quote(name, safe='')}"
        self._open = f"{key}:open"
        self._tripped = f"{key}:tripped"
        self._failures = f"{key}:failures"
        self._trials = f"{key}:trials"

    async def look(self) -> CircuitState:
        """Return the state, without asking to pass."""
        if await self._store.get(self._open) is not None:
            return CircuitState.OPEN
        tripped = await self._store.get(self._tripped)
        return CircuitState.CLOSED if tripped is None else CircuitState.HALF_OPEN

    async def ask(self) -> Pass:
        """Ask to pass; a pass of state `open` is none."""
        if await self._store.get(self._open) is not None:
            return Pass(CircuitState.OPEN)
        trip = await self._store.get(self._tripped)
        if trip is None:
            return Pass(CircuitState.CLOSED)
        tried = await self._store.count(f"{self._trials}:{trip}", self._policy.open_seconds)
        if tried > self._policy.trials:
            return Pass(CircuitState.OPEN)
        return Pass(CircuitState.HALF_OPEN, trip)

    async def succeeded(self, used: Pass) -> None:
        """Take the news that a call with this pass succeeded. A trial closes the breaker."""
        if used.trip is not None and await self._store.discard(self._tripped, used.trip):
            await self._store.discard(self._failures)

    async def failed(self, used: Pass) -> bool:
        """Take the news that a call with this pass failed; return whether that opened it."""
        if used.trip is None or await self._store.get(self._tripped) != used.trip:
            counted = await self._store.count(self._failures, self._policy.window_seconds)
            if counted < self._policy.failures:
                return False
        await self._trip()
        return True

    async def _trip(self) -> None:
        """Open it. Whoever asks between these writes finds it half open, at worst."""
        open_seconds, trip = self._policy.open_seconds, uuid4().hex
        await self._store.put(self._tripped, trip, open_seconds * _REMEMBERED)
        await self._store.put(self._open, trip, open_seconds)
        await self._store.discard(self._failures)
