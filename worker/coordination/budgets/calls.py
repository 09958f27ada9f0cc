"""What a process remembers of its own model calls, in case Redis forgets them."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from envelope.ports.budgets import Amount

SETTLED_SECONDS: Final = 3_600.0
"""How long a settled call is remembered at most; the step's commit ends it earlier."""
_SWEEP_SECONDS = 60.0

Word = str | float


@dataclass(slots=True)
class OwnCall:
    """A call of this process: its estimate, or what it used; remembered until then."""

    amount: Amount
    settled: bool
    until: float


@dataclass(slots=True)
class OwnCalls:
    """This process's calls for one budget, with the `born` under which Redis knows them."""

    born: str = ""
    calls: dict[str, OwnCall] = field(default_factory=dict)

    def words(self) -> Iterator[Word]:
        """Return them as `budget.lua` takes them."""
        now = time.monotonic()
        for name, call in self.calls.items():
            state = "settled" if call.settled else "reserved"
            yield from (name, state, call.amount.tokens, call.amount.usd)
            yield max(1.0, call.until - now)


class Remembered:
    """The own calls of all budgets that this process has to do with."""

    def __init__(self) -> None:
        self._roots: dict[str, OwnCalls] = {}
        self._swept = time.monotonic()

    def of(self, root_id: str) -> OwnCalls:
        """Return those of one budget."""
        if root_id not in self._roots:
            self._sweep()
            self._roots[root_id] = OwnCalls()
        return self._roots[root_id]

    def note(
        self, root_id: str, call: str, amount: Amount, *, settled: bool, seconds: float
    ) -> None:
        """Remember a call, or what has become of it."""
        until = time.monotonic() + seconds
        self.of(root_id).calls[call] = OwnCall(amount, settled, until)

    def forget(self, root_id: str, calls: Collection[str]) -> None:
        """Forget calls."""
        own = self._roots.get(root_id, OwnCalls())
        for call in calls:
            own.calls.pop(call, None)
        if not own.calls:
            self._roots.pop(root_id, None)

    def _sweep(self) -> None:
        """Forget what is overdue, now and then: its step was never committed here."""
        now = time.monotonic()
        if now < self._swept + _SWEEP_SECONDS:
            return
        self._swept = now
        for root_id, own in list(self._roots.items()):
            self.forget(root_id, [name for name, call in own.calls.items() if call.until < now])
