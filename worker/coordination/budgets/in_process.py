"""Budgets within this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from envelope.ports.budgets import RESERVED_SECONDS, Amount, BudgetLimit, Spent
from worker.coordination.budgets.checking import sensible
from worker.coordination.budgets.refusal import budget_exceeded
from worker.coordination.budgets.spending import Spending

_KEEP_SECONDS = 86_400.0
_DUST = 1e-9
"""Sums of dollars are not exact to the last bit."""


@dataclass(slots=True)
class _Budget:
    used: Amount
    touched: float
    reserved: dict[str, tuple[Amount, float]] = field(default_factory=dict)
    settled: dict[str, float] = field(default_factory=dict)

    def settle(self, now: float, call: str, used: Amount) -> None:
        """Count what a call used; once, however often it is told."""
        self._forget_settled(now)
        if call not in self.settled:
            self.settled[call] = now + RESERVED_SECONDS
            self.reserved.pop(call, None)
            self.used = _sum(self.used, used)

    def set_aside(self, now: float) -> Amount:
        """What calls under way may use; those of nobody's are dropped."""
        live = {call: held for call, held in self.reserved.items() if held[1] > now}
        self.reserved = live
        return _sum(*(amount for amount, _ in live.values()))

    def _forget_settled(self, now: float) -> None:
        """They stand in the order of their times."""
        while self.settled and next(iter(self.settled.values())) <= now:
            del self.settled[next(iter(self.settled))]


class InProcessBudgets:
    """Budgets that count for the users of this object alone.

    Args:
        spent: What the journal knows to be spent.
        clock: Tells the time in seconds.
    """

    def __init__(self, spent: Spent, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._spending = Spending(spent)
        self._clock = clock
        self._budgets: dict[str, _Budget] = {}

    async def reserve(
        self,
        limit: BudgetLimit,
        call: str,
        estimate: Amount,
        *,
        seconds: float = RESERVED_SECONDS,
    ) -> None:
        """Set `estimate` aside for a call; see `Budgets.reserve`.

        Raises:
            BudgetExceeded: It does not fit any more.
        """
        wanted, budget, now = sensible(estimate), await self._of(limit.root_id), self._clock()
        reserved = budget.set_aside(now)
        total = _sum(budget.used, reserved, wanted)
        fits_tokens = limit.tokens is None or total.tokens <= limit.tokens
        fits_usd = limit.usd is None or total.usd <= limit.usd + _DUST
        if not (fits_tokens and fits_usd):
            raise budget_exceeded(limit, used=budget.used, reserved=reserved, wanted=wanted)
        budget.reserved[call] = (wanted, now + seconds)

    async def settle(self, limit: BudgetLimit, call: str, used: Amount) -> None:
        """Put what was used in the place of the estimate."""
        budget = await self._of(limit.root_id)
        budget.settle(self._clock(), call, sensible(used))

    def committed(self, limit: BudgetLimit, calls: Collection[str]) -> None:
        """Nothing to note: what this process counts is not lost before the process is."""

    async def close(self) -> None:
        """Forget everything."""
        self._budgets.clear()

    async def _of(self, root_id: str) -> _Budget:
        if root_id not in self._budgets:
            tokens, usd = await self._spending.of(root_id)
            self._forget_unused()
            self._budgets.setdefault(
                root_id, _Budget(Amount(tokens=tokens, usd=usd), self._clock())
            )
        budget = self._budgets[root_id]
        budget.touched = self._clock()
        return budget

    def _forget_unused(self) -> None:
        oldest = self._clock() - _KEEP_SECONDS
        self._budgets = {
            root_id: budget for root_id, budget in self._budgets.items() if budget.touched > oldest
        }


def _sum(*amounts: Amount) -> Amount:
    return Amount(
        tokens=sum(amount.tokens for amount in amounts), usd=sum(amount.usd for amount in amounts)
    )
