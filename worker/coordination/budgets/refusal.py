"""Says that a budget does not allow a call."""

from __future__ import annotations

from envelope.errors import BudgetExceeded
from envelope.ports.budgets import Amount, BudgetLimit


def budget_exceeded(
    limit: BudgetLimit, used: Amount, reserved: Amount, wanted: Amount
) -> BudgetExceeded:
    """Return the error: the budget, what is used, set aside and wanted."""
    budgets = [
        text
        for text, given in (
            (f"{limit.tokens or 0:,} tokens", limit.tokens),
            (f"{limit.usd or 0:.4f} USD", limit.usd),
        )
        if given is not None
    ]
    return BudgetExceeded(
        f"The budget of run {limit.root_id} and its descendants, {' and '.join(budgets)}, does not "
        f"allow the next model call. Used: {_told(used)}; set aside for calls under way: "
        f"{_told(reserved)}; wanted: {_told(wanted)}. Start it again with a larger budget, or let "
        "it do less."
    )


def _told(amount: Amount) -> str:
    return f"{amount.tokens:,} tokens, {amount.usd:.4f} USD"
