"""Rates as people write them: `500/min`, `10/s burst 50`."""

from __future__ import annotations

import math
import re

from envelope.ports.rates import Rate

_SECONDS = {
    ("s", "sec", "second"): 1.0,
    ("min", "minute"): 60.0,
    ("h", "hour"): 3_600.0,
    ("d", "day"): 86_400.0,
}
_UNITS = {name: seconds for names, seconds in _SECONDS.items() for name in names}
_NUMBER = r"\d[\d_]*(?:\.\d+)?"
_RATE = re.compile(
    rf"\s*(?P<amount>{_NUMBER})\s*/\s*(?P<unit>[a-z]+)(?:\s+burst\s+(?P<burst>{_NUMBER}))?\s*",
    re.ASCII,
)
_BURST_SHARE = 0.1


def parse_rate(text: str) -> Rate:
    """Read a rate: an amount per `s`, `min`, `h` or `d`, and perhaps the burst.

    Without a burst it is a tenth of the amount, at least 1.

    Raises:
        ValueError: It is not a rate; says how one is written.

    Example:
        >>> parse_rate("500/min")
        Rate(amount=500.0, seconds=60.0, burst=50.0)
        >>> parse_rate("10/s burst 30").burst
        30.0
    """
    found = _RATE.fullmatch(text) if isinstance(text, str) else None
    if found is None or found["unit"] not in _UNITS:
        raise ValueError(
            f"{text!r} is not a rate. Write an amount per time such as '500/min' or "
            f"'10/s burst 30'; units are {', '.join(_UNITS)}."
        )
    amount = float(found["amount"])
    burst = float(found["burst"]) if found["burst"] else default_burst(amount)
    if not (0 < amount < math.inf and 1 <= burst < math.inf):
        raise ValueError(
            f"{text!r} is not a rate: the amount must be above 0 and the burst at least 1."
        )
    return Rate(amount=amount, seconds=_UNITS[found["unit"]], burst=burst)


def per_minute(amount: float) -> Rate:
    """Return the rate of so much per minute, with the usual burst."""
    return Rate(amount=amount, seconds=60.0, burst=default_burst(amount))


def default_burst(amount: float) -> float:
    """Return what a bucket holds where nobody says it: a tenth of the amount, at least 1."""
    return max(1.0, amount * _BURST_SHARE)
