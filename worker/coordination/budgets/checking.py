"""Keeps what is no amount out of the sums."""

from __future__ import annotations

import math

from envelope.ports.budgets import Amount


def sensible(amount: Amount) -> Amount:
    """Return the amount; what is no number, or less than nothing, counts as nothing."""
    usd = amount.usd if math.isfinite(amount.usd) else 0.0
    return Amount(tokens=max(0, amount.tokens), usd=max(0.0, usd))
