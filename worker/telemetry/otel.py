"""Traces by OpenTelemetry, sent by OTLP over HTTP. Needs the extra `muster[otel]`.

Attributes hold ids, names and counts. No payload, prompt, answer or message of an error is ever
among them. Model calls are named as the semantic conventions for generative AI say.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, SpanContext, SpanKind

from agents.context import StepContext
from agents.llm.watch import Operation
from envelope.effect import Effect
from envelope.ports.journal_rows import Claim, Run, StepClaim
from envelope.ports.journal_writes import NewRun
from worker.telemetry.otel_places import from_traceparent, remote, to_traceparent, trigger_of
from worker.telemetry.otel_span import NEXT, Ids, NamedIds, OtelSpan
from worker.telemetry.span_ids import FIRST_EPOCH, claim_span_id, trigger_span_id
from worker.telemetry.tracer import Span, Tracer

_MOST_LINKS = 64
_SEND_SECONDS = 3.0
_NANO = 1_000_000_000

Attributes = Mapping[str, str | int | float | bool]


class OtelTracer(Tracer):
    """Traces this process.

    Whether a trace is kept follows from its id alone, so all processes agree.

    Args:
        exporter: Takes finished spans, in a thread of its own; what it cannot send is lost.
        share: The share of traces that are kept, 0 to 1.
    """

    def __init__(self, exporter: SpanExporter, *, share: float = 1.0) -> None:
        named = os.environ.get("OTEL_SERVICE_NAME", "muster")
        resource = Resource.create({"service.name": named, "process.pid": os.getpid()})
        sampler = TraceIdRatioBased(share)
        self._provider = TracerProvider(
            # A remote parent's flag says nothing: we make it up from the row.
            sampler=ParentBased(sampler, remote_parent_sampled=sampler),
            resource=resource,
            id_generator=NamedIds(),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("muster")

    def trace_id(self) -> str | None:
        """Return the trace of the caller's span."""
        context = trace.get_current_span().get_span_context()
        return f"{context.trace_id:032x}" if context.is_valid else None

    @contextmanager
    def triggered(self, new: NewRun) -> Iterator[Span]:
        """The run's first span, below the caller's where that is of the same trace."""
        if new.trace_id is None:
            with super().triggered(new) as span:
                yield span
            return
        named = int(new.trace_id, 16), trigger_span_id(new.run_id)
        caller = trace.get_current_span().get_span_context()
        above = None if caller.trace_id == named[0] else Context()
        attributes: Attributes = {
            "muster.run_id": new.run_id,
            "muster.flow": new.flow,
            "muster.source": new.source,
        }
        name = f"trigger {new.flow}"
        with self._span(name, above, SpanKind.PRODUCER, attributes, named) as span:
            yield span

    @contextmanager
    def run(self, claim: Claim) -> Iterator[Span]:
        """A span for the claim, and one for the wait before the first."""
        run = claim.run
        if run.trace_id is None:
            with super().run(claim) as span:
                yield span
            return
        root = remote(run.trace_id, trigger_span_id(run.run_id))
        if run.epoch == FIRST_EPOCH:
            self._wait(f"queue runs.{run.flow}", root, claim.now - run.available_at)
        named = int(run.trace_id, 16), claim_span_id(run.run_id, run.epoch)
        attributes = _of_run(run) | {"muster.epoch": run.epoch, "muster.losses": run.losses}
        with self._span(f"run {run.flow}", root, SpanKind.CONSUMER, attributes, named) as span:
            yield span

    @contextmanager
    def queued_step(self, claim: StepClaim) -> Iterator[Span]:
        """A span below the claim of the run, in whatever process that is."""
        run, step = claim.run, claim.step
        if run.trace_id is None:
            with super().queued_step(claim) as span:
                yield span
            return
        above = remote(run.trace_id, claim_span_id(run.run_id, run.epoch))
        if step.started_at is not None and step.sent_at is not None:
            self._wait(f"queue agent.{step.agent}", above, step.started_at - step.sent_at)
        attributes = _of_run(run) | {"muster.step": step.step, "muster.agent": step.agent}
        with self._span(f"step {step.agent}", above, SpanKind.CONSUMER, attributes) as span:
            yield span

    @contextmanager
    def attempt(self, ctx: StepContext) -> Iterator[Span]:
        """A span below the caller's; below the trigger's in a process that has none."""
        attributes: Attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": ctx.agent,
            "muster.run_id": ctx.run_id,
            "muster.step": ctx.step,
            "muster.attempt": ctx.attempt,
        }
        inside = trace.get_current_span().get_span_context().is_valid
        above = None if inside else trigger_of(ctx.trace_id, ctx.run_id)
        name = f"invoke_agent {ctx.agent}"
        with self._span(name, above, SpanKind.INTERNAL, attributes) as span:
            yield span

    @contextmanager
    def model(self, model: str, server: str, operation: Operation) -> Iterator[Span]:
        """A client's span, as the conventions for generative AI name it."""
        attributes: Attributes = {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "openai" if server else "offline",
            "gen_ai.request.model": model,
            **({"gen_ai.output.type": "image"} if operation == "generate_content" else {}),
            **(_address(server) if server else {}),
        }
        with self._span(f"{operation} {model}", None, SpanKind.CLIENT, attributes) as span:
            yield span

    @contextmanager
    def effect(self, effect: Effect) -> Iterator[Span]:
        """A span that says by which channel, not to whom."""
        attributes: Attributes = {"muster.channel": effect.channel}
        with self._span(f"effect {effect.channel}", None, SpanKind.CLIENT, attributes) as span:
            yield span

    def place(self) -> str | None:
        """Return the caller's span, where it is kept, as W3C traceparent."""
        here = self.here()
        return to_traceparent(here) if here is not None else None

    @contextmanager
    def below(self, place: str | None) -> Iterator[None]:
        """That span is the parent of what is begun meanwhile."""
        if place is None:
            yield
            return
        token = attach(from_traceparent(place))
        try:
            yield
        finally:
            detach(token)

    def here(self) -> SpanContext | None:
        """Return the caller's span, where it is kept."""
        context = trace.get_current_span().get_span_context()
        return context if context.is_valid and context.trace_flags.sampled else None

    def committed(self, places: Sequence[Any], seconds: float, operations: int) -> None:
        """One span for the batch, below the first that waited for it and linked to the others."""
        known = {(place.trace_id, place.span_id): place for place in places if place is not None}
        if not known:
            return
        first, *rest = known.values()
        span = self._tracer.start_span(
            "journal commit",
            context=trace.set_span_in_context(trace.NonRecordingSpan(first), Context()),
            kind=SpanKind.CLIENT,
            attributes={"db.operation.batch.size": operations, "db.operation.name": "COMMIT"},
            links=[Link(place) for place in rest[:_MOST_LINKS]],
            start_time=time.time_ns() - int(seconds * _NANO),
        )
        span.end()

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    def _wait(self, name: str, above: Context, seconds: float) -> None:
        """A wait that is over: its span begins in the past."""
        now = time.time_ns()
        begun = now - int(max(0.0, seconds) * _NANO)
        self._tracer.start_span(name, context=above, start_time=begun).end(now)

    @contextmanager
    def _span(
        self,
        name: str,
        above: Context | None,
        kind: SpanKind,
        attributes: Attributes,
        named: Ids | None = None,
    ) -> Iterator[OtelSpan]:
        """Errors are told by their code: their messages may quote anything."""
        token = NEXT.set(named)
        try:
            span = self._tracer.start_span(name, context=above, kind=kind, attributes=attributes)
        finally:
            NEXT.reset(token)
        made = OtelSpan(span)
        with trace.use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                yield made
            except BaseException as error:
                made.failed(str(getattr(error, "code", type(error).__name__)))
                raise


def otlp_tracer(endpoint: str, share: float) -> OtelTracer:
    """Return a tracer that sends to an OTLP collector.

    Args:
        endpoint: Its base URL, such as `http://localhost:4318`.
        share: The share of traces that are kept.
    """
    url = f"{endpoint.rstrip('/')}/v1/traces"
    return OtelTracer(OTLPSpanExporter(endpoint=url, timeout=_SEND_SECONDS), share=share)


def _of_run(run: Run) -> dict[str, str | int | float | bool]:
    return {
        "muster.run_id": run.run_id,
        "muster.flow": run.flow,
        "muster.flow_version": run.version,
        "muster.tenant": run.tenant,
    }


def _address(server: str) -> dict[str, str | int]:
    parts = urlsplit(server)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {"server.address": parts.hostname or "", "server.port": port}
