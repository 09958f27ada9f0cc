"""Places in traces of other processes, for spans to hang below."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, TraceFlags

from worker.telemetry.span_ids import trigger_span_id


def remote(trace_id: str, span_id: int) -> Context:
    """Return the context of a span of another process."""
    context = SpanContext(
        int(trace_id, 16), span_id, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(context), Context())


def trigger_of(trace_id: str | None, run_id: str) -> Context | None:
    """Return the context of a run's trigger; None where the run has no trace."""
    return None if trace_id is None else remote(trace_id, trigger_span_id(run_id))


def to_traceparent(span: SpanContext) -> str:
    """Return a span that is kept as W3C traceparent."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-01"


def from_traceparent(place: str) -> Context:
    """Return the context that `to_traceparent` wrote down."""
    _, trace_id, span_id, _ = place.split("-")
    return remote(trace_id, int(span_id, 16))
