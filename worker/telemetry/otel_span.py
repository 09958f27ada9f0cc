"""Spans of OpenTelemetry, and the ids that they get."""

from __future__ import annotations

from contextvars import ContextVar

from opentelemetry import trace
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.trace import Status, StatusCode

from envelope.usage import Usage
from worker.telemetry.tracer import Span

Ids = tuple[int, int]

NEXT: ContextVar[Ids | None] = ContextVar("muster_next_span", default=None)
"""The ids (trace, span) of the span that is begun next, where they are not left to chance."""


class NamedIds(IdGenerator):
    """Gives the next span the ids that `NEXT` says; random ones otherwise."""

    def __init__(self) -> None:
        self._random = RandomIdGenerator()

    def generate_span_id(self) -> int:
        """Return the id of a new span."""
        named = NEXT.get()
        return named[1] if named else self._random.generate_span_id()

    def generate_trace_id(self) -> int:
        """Return the id of a new trace."""
        named = NEXT.get()
        return named[0] if named else self._random.generate_trace_id()

    def is_trace_id_random(self) -> bool:
        """Whether other services may sample by it; ours may have come from anywhere."""
        return False


class OtelSpan(Span):
    """A span of OpenTelemetry."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, **attributes: str | float | bool) -> None:
        """Set attributes `muster.<name>`."""
        self._span.set_attributes({f"muster.{name}": each for name, each in attributes.items()})

    def failed(self, code: str) -> None:
        """Set the status, and the code as `error.type`."""
        self._span.set_attribute("error.type", code)
        self._span.set_status(Status(StatusCode.ERROR))

    def used(self, model: str, usage: Usage) -> None:
        """Set the answer's model and tokens."""
        self._span.set_attributes(
            {
                "gen_ai.response.model": model,
                "gen_ai.usage.input_tokens": usage.input_tokens,
                "gen_ai.usage.output_tokens": usage.output_tokens,
                "muster.cost_usd": usage.cost_usd,
            }
        )
