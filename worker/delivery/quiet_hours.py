"""Hours in which nothing is sent, by the clock on the wall of one time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo

_DAY = timedelta(days=1)
_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_GRAMMAR = re.compile(rf"(?P<start>{_TIME})-(?P<end>{_TIME}) (?P<zone>[\w+/-]+)")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start` until `end` of each day, or of the next one where `end` comes first.

    Where a change of clocks makes a time happen twice or not at all, the longer reading counts.

    Example:
        >>> QuietHours.parse("20:00-08:00 Europe/Berlin").until(moment)
    """

    start: time
    end: time
    zone: ZoneInfo

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `HH:MM-HH:MM ZONE`, such as `20:00-08:00 Europe/Berlin`.

        Raises:
            ValueError: It is not that, the zone is unknown, or the hours begin when they end.
        """
        found = _GRAMMAR.fullmatch(text.strip())
        if found is None:
            raise ValueError("not hours and a time zone")
        if found["start"] == found["end"]:
            raise ValueError(
                f"MUSTER_DELIVERY_QUIET is {text.strip()!r}: hours that begin when they end are "
                "none, or all. Unset it, or set MUSTER_ALLOW_DELIVERY=false to send nothing"
            )
        start, end = time.fromisoformat(found["start"]), time.fromisoformat(found["end"])
        return cls(start, end, _zone(found["zone"]))

    def until(self, now: float) -> float | None:
        """Return when the quiet hours that `now` falls into end; None outside of them.

        Args:
            now: Seconds since 1970, as is what is returned.
        """
        today = datetime.fromtimestamp(now, self.zone).date()
        for day in (today - _DAY, today):
            begins, ends = self._begin(day), self._end(day)
            if begins <= now < ends:
                return ends
        return None

    def _begin(self, day: date) -> float:
        return min(self._readings(day, self.start))

    def _end(self, day: date) -> float:
        return max(self._readings(day if self.start < self.end else day + _DAY, self.end))

    def _readings(self, day: date, at: time) -> tuple[float, float]:
        """A time of day happens twice when clocks go back; PEP 495 tells the two by `fold`."""
        first = datetime.combine(day, at, self.zone)
        return first.timestamp(), first.replace(fold=1).timestamp()

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M} {self.zone.key}"


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ValueError("not a known time zone") from None
