"""Which step is running here: the source of a record's agent and of an envelope's metadata."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime

from envelope.metering import Meter
from envelope.usage import Usage


@dataclass(slots=True)
class Running:
    """The step that the present code belongs to, with the usage it has gathered so far.

    Attributes:
        meter: The run's budget; None where it has none.
    """

    run_id: str
    step: str
    agent: str
    attempt: int
    trace_id: str | None
    started_at: datetime
    usage: Usage
    meter: Meter | None = None

    def add_usage(self, usage: Usage) -> None:
        """Add what one model call used."""
        self.usage = self.usage + usage


RUNNING: ContextVar[Running | None] = ContextVar("muster_running", default=None)


def utc_now() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)
