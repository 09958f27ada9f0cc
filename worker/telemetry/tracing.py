"""Chooses the tracer that the settings ask for."""

from __future__ import annotations

import importlib

import structlog

from worker.settings import Settings
from worker.telemetry.tracer import Tracer

log = structlog.get_logger("muster")


def tracer_of(settings: Settings) -> Tracer:
    """Return OpenTelemetry's tracer where an endpoint is set; without the packages, none."""
    if settings.otlp_endpoint is None or settings.traces == 0:
        return Tracer()
    try:
        # Whoever traces nothing need not have it, nor wait for its import.
        otel = importlib.import_module("worker.telemetry.otel")
    except ImportError as error:
        log.warning("traces.not_installed", error=str(error), advice="pip install 'muster[otel]'")
        return Tracer()
    made: Tracer = otel.otlp_tracer(settings.otlp_endpoint, settings.traces)
    return made
