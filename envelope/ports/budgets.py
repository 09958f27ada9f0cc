"""Budgets: the tokens and the money that a run and its descendants may use together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """Tokens and US dollars."""

    tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimit:
    """A run's budget, shared with its descendants; None means no limit of that kind.

    Attributes:
        root_id: The oldest ancestor, whose budget it is.
    """

    root_id: str
    tokens: int | None = None
    usd: float | None = None


Spent = Callable[[str], Awaitable[tuple[int, float]]]
"""Returns what the journal knows to be spent by a root run and its descendants."""


class Budgets(Protocol):
    """Budgets as one process sees them; belongs to one event loop."""

    async def reserve(self, limit: BudgetLimit, call: str, estimate: Amount) -> None:
        """Set `estimate` aside for the model call named `call`, which is unique.

        Raises:
            BudgetExceeded: It does not fit any more; says what the budget is and what is used.
        """

    async def settle(self, limit: BudgetLimit, call: str, used: Amount) -> None:
        """Put what was really used in the place of the estimate; nothing where the call failed."""

    async def close(self) -> None:
        """Let go of connections."""
