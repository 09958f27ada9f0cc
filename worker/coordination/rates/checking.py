"""Refuses what no bucket can make sense of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from envelope.errors import InvalidInput
from envelope.ports.rates import Rate, RateWant

LONGEST_PAUSE_SECONDS: Final = 3_600.0


def checked(wants: Sequence[RateWant]) -> tuple[RateWant, ...]:
    """Return the wants.

    Raises:
        InvalidInput: A rate or amount is no sensible number, a bucket stands there twice, or more
            is wanted at once than a bucket ever holds.
    """
    for want in wants:
        _check_rate(want.key, want.rate)
        _check_amount(want)
    if len({want.key for want in wants}) < len(wants):
        keys = ", ".join(want.key for want in wants)
        raise InvalidInput(f"One bucket is wanted twice at once ({keys}). Add the amounts up.")
    return tuple(wants)


def sensible_pause(seconds: float) -> float:
    """Return the pause to make: an hour at most; 0 for what is no time to wait."""
    if math.isnan(seconds) or seconds <= 0:
        return 0.0
    return min(seconds, LONGEST_PAUSE_SECONDS)


def _check_rate(key: str, rate: Rate) -> None:
    if not all(map(_positive, (rate.amount, rate.seconds, rate.burst))):
        raise InvalidInput(
            f"The rate of {key!r} is not one: {rate.amount:g} per {rate.seconds:g} s, burst "
            f"{rate.burst:g}. All three must be above 0."
        )


def _check_amount(want: RateWant) -> None:
    if not math.isfinite(want.amount) or want.amount < 0:
        raise InvalidInput(
            f"{want.amount:g} of {want.key!r} cannot be reserved. Ask for 0 or more."
        )
    if want.amount > want.rate.burst:
        raise InvalidInput(
            f"{want.amount:g} of {want.key!r} are wanted at once, but its burst is "
            f"{want.rate.burst:g}. Ask for less at a time, or raise the burst."
        )


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0
