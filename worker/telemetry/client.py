"""What a process tells that exports no metrics: its spans alone."""

from __future__ import annotations

from worker.settings import Settings
from worker.telemetry.telemetry import Telemetry
from worker.telemetry.tracing import tracer_of


def client_telemetry(settings: Settings) -> Telemetry:
    """Return the telemetry of a client, or of a short-lived process beside a worker."""
    return Telemetry(tracer=tracer_of(settings))
