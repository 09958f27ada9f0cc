"""The meter that a running step carries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from envelope.ports.budgets import RESERVED_SECONDS, Amount, BudgetLimit, Budgets


class CallCharge:
    """What one call is charged; the last word counts."""

    def __init__(self) -> None:
        self.amount = Amount()

    def used(self, amount: Amount) -> None:
        """Say what the call really used."""
        self.amount = amount


class RunMeter:
    """Charges the model calls of one step to the budget of its run.

    Make it on the event loop that the budgets belong to. It may be asked from other loops, such as
    that of a plain `def` agent in its thread: the work is done on its own loop all the same.

    Args:
        budgets: The budgets of this process.
        limit: The run's budget.
        run_id: The run.
        step: The step within it.
    """

    def __init__(self, budgets: Budgets, limit: BudgetLimit, run_id: str, step: str) -> None:
        self._budgets = budgets
        self._limit = limit
        self._name = f"{run_id}:{step}"
        self._loop = asyncio.get_running_loop()
        self._settled: list[str] = []

    @asynccontextmanager
    async def call(
        self, estimate: Amount, *, seconds: float = RESERVED_SECONDS
    ) -> AsyncIterator[CallCharge]:
        """Set `estimate` aside for a call and settle it at the end; see `Meter.call`.

        Raises:
            BudgetExceeded: It does not fit any more.
        """
        charge = CallCharge()
        if self._limit.tokens is None and self._limit.usd is None:
            yield charge
            return
        call = f"{self._name}:{uuid4().hex}"
        await self._on_own_loop(self._budgets.reserve(self._limit, call, estimate, seconds=seconds))
        try:
            yield charge
        finally:
            self._settled.append(call)
            settling = self._budgets.settle(self._limit, call, charge.amount)
            await asyncio.shield(self._on_own_loop(settling))

    def committed(self) -> None:
        """The step's outcome, whatever it is, is in the journal: call it once on the own loop."""
        settled, self._settled = self._settled, []
        self._budgets.committed(self._limit, settled)

    async def _on_own_loop(self, work: Coroutine[Any, Any, None]) -> None:
        if asyncio.get_running_loop() is self._loop:
            await work
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
