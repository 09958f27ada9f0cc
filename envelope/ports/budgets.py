"""Budgets: the tokens and the money that a run and its descendants may use together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Final, Protocol

RESERVED_SECONDS: Final = 900.0
"""How long an estimate stays set aside where nobody says how long the call may take."""


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

    async def reserve(
        self,
        limit: BudgetLimit,
        call: str,
        estimate: Amount,
        *,
        seconds: float = RESERVED_SECONDS,
    ) -> None:
        """Set `estimate` aside for the model call named `call`, which is unique.

        After `seconds` without `settle` it is taken for that of a dead process and dropped. While
        Redis is away the caller waits.

        Raises:
            BudgetExceeded: It does not fit any more; says what the budget is and what is used.
        """

    async def settle(self, limit: BudgetLimit, call: str, used: Amount) -> None:
        """Put what was really used in the place of the estimate; nothing where the call failed.

        Never waits for Redis: it is sent in order, again and again while Redis is away.
        """

    def committed(self, limit: BudgetLimit, calls: Collection[str]) -> None:
        """Note that the step of these settled calls is committed: the journal counts them now.

        Until then they are counted again should Redis forget them.
        """

    async def close(self) -> None:
        """Let go of connections."""
