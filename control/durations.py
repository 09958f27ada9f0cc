"""Durations and moments as people say them."""

from __future__ import annotations

from datetime import UTC, datetime

_MINUTE = 60
_HOUR = 3600
_DAY = 86_400


def span(seconds: float) -> str:
    """Return a duration: `0.4 s`, `35 s`, `12 min`, `5.2 h`, `3.0 days`."""
    seconds = max(0.0, seconds)
    if seconds < 10:  # noqa: PLR2004 - one digit before the point
        return f"{seconds:.1f} s"
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.1f} h"
    return f"{seconds / _DAY:.1f} days"


def moment(at: float) -> str:
    """Return a time of the journal in UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
