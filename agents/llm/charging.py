"""Charges a model call to the budget of the run that it is made for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agents.llm.answer import Answer
from agents.llm.estimates import Estimate
from agents.llm.prices import usage_of
from envelope.metering import Charge
from envelope.ports.budgets import Amount
from envelope.running import RUNNING
from envelope.usage import Usage

_MARGIN_SECONDS = 30.0
"""A call that its own time limit has not ended by then is that of a dead process."""


class _FreeCharge:
    """No run, or a run without a budget."""

    def used(self, amount: Amount) -> None:
        """Nobody pays."""


@asynccontextmanager
async def charged(
    estimate: Estimate, model: str, base_url: str | None, seconds: float
) -> AsyncIterator[Charge]:
    """Set the estimate aside in the running step's budget, and settle it at the end.

    Args:
        estimate: The tokens expected.
        model: The model asked, for its price.
        base_url: The server asked, for its price.
        seconds: Time limit of the call.

    Raises:
        BudgetExceeded: The call does not fit the run's budget.
    """
    running = RUNNING.get()
    if running is None or running.meter is None:
        yield _FreeCharge()
        return
    expected = Answer(
        text="", input_tokens=estimate.input_tokens, output_tokens=estimate.output_tokens
    )
    amount = amount_of(usage_of(expected, model, base_url))
    async with running.meter.call(amount, seconds=seconds + _MARGIN_SECONDS) as charge:
        yield charge


def amount_of(usage: Usage) -> Amount:
    """Return what a usage takes of a budget."""
    return Amount(tokens=usage.input_tokens + usage.output_tokens, usd=usage.cost_usd)
