"""What is done in a process apart is counted, logged and traced as if the worker had done it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry

if "CI" not in os.environ:  # there it must be installed
    pytest.importorskip("opentelemetry.proto", reason="the extra otel is not installed")

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from control import Muster
from envelope.ids import new_id
from tests.rig.cluster import Cluster, WorkerHandle
from tests.rig.scraping import scraped
from tests.services.otlp_sink import OtlpSink
from tests.services.ports import free_port
from tests.services.waiting import wait_until
from worker.engine.cell import StepAnswer, StepOrder, SubprocessCell
from worker.telemetry.otel import OtelTracer
from worker.telemetry.prometheus import PrometheusMeters
from worker.telemetry.telemetry import Telemetry

FLOWS = "tests.rig.telemetry_flows"


@pytest.fixture
def sink() -> Iterator[OtlpSink]:
    with OtlpSink() as made:
        yield made


@pytest.fixture
def cluster(tmp_path: Path, redis_url: str) -> Iterator[Cluster]:
    redis.Redis.from_url(redis_url).flushall()
    made = Cluster(tmp_path, redis_url, f"sqlite:///{tmp_path}/journal.sqlite3")
    try:
        yield made
    finally:
        made.stop()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


class Watcher:
    """The worker's side: its metrics, and a span from which it orders a step."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.cell = SubprocessCell()
        self.tracer = OtelTracer(InMemorySpanExporter())
        self.cell.telemetry = Telemetry(PrometheusMeters(self.registry), self.tracer)

    def order(self, agent: str, **request: Any) -> tuple[StepOrder, StepAnswer | None, int]:
        """Have a step executed apart; return order and answer, and the id of the span here."""
        with self.tracer._tracer.start_as_current_span("watching") as span:
            here = span.get_span_context()
            order = StepOrder(
                run_id=new_id(),
                flow="seen",
                step=f"{agent}#1",
                agent=agent,
                attempt=1,
                tenant="default",
                user=None,
                thread=None,
                allow_delivery=False,
                trace_id=f"{here.trace_id:032x}",
                request=json.dumps(request),
            )
            answer = asyncio.run(self.cell.step(order, lambda *_: None))
        return order, answer, here.span_id

    def count(self, name: str, /, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def watcher(cluster: Cluster, sink: OtlpSink, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watcher]:
    told = {
        **cluster.environment,
        "MUSTER_INCLUDE": FLOWS,
        "MUSTER_OTLP_ENDPOINT": sink.url,
        "MUSTER_LOG_FORMAT": "json",
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    made = Watcher()
    yield made
    made.tracer.close()


@pytest.mark.timeout(90)
def test_a_step_s_model_calls_retries_and_caches_count(watcher: Watcher) -> None:
    _, answer, _ = watcher.order("seen-here")
    assert answer is not None
    assert answer.envelope is not None, answer.failure
    model = "offline-composer-1"
    counted = watcher.count("muster_llm_request_seconds_count", model=model, outcome="succeeded")
    assert counted == 1
    assert watcher.count("muster_cache_misses_total", cache="model", name="seen-parrot") == 1
    _, answer, _ = watcher.order("seen-far")
    assert answer is not None
    assert answer.attempt == 2
    assert watcher.count("muster_step_retries_total", agent="seen-far") == 1


@pytest.mark.timeout(90)
def test_what_a_step_had_counted_before_it_died_counts(
    watcher: Watcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUSTER_TEST_CRASHED", str(tmp_path / "crashed"))
    _, answer, _ = watcher.order("seen-asks-and-dies")
    assert answer is None, "it died"
    model = "offline-composer-1"
    counted = watcher.count("muster_llm_request_seconds_count", model=model, outcome="succeeded")
    assert counted == 1


@pytest.mark.timeout(90)
def test_a_step_s_spans_hang_below_the_worker_s(watcher: Watcher, sink: OtlpSink) -> None:
    order, _, above = watcher.order("seen-here")
    spans = {span.name: span for span in sink.spans(order.trace_id)}
    assert {"invoke_agent seen-here", "chat offline-composer-1"} <= set(spans)
    attempt = spans["invoke_agent seen-here"]
    assert int.from_bytes(attempt.parent_span_id, "big") == above
    assert spans["chat offline-composer-1"].parent_span_id == attempt.span_id


@pytest.mark.timeout(90)
def test_a_step_s_lines_say_whose_they_are(
    watcher: Watcher, capfd: pytest.CaptureFixture[str]
) -> None:
    order, _, _ = watcher.order("seen-here")
    said = {line["event"]: line for line in lines(capfd.readouterr().err)}
    for event in ("a library speaks of nothing", "seen.here"):
        line = said[event]
        assert (line["run"], line["trace_id"]) == (order.run_id, order.trace_id)
        assert (line["step"], line["agent"], line["attempt"]) == (order.step, order.agent, 1)
        assert line["process"] != os.getpid()


def start(cluster: Cluster, sink: OtlpSink) -> WorkerHandle:
    environment = {
        "MUSTER_INCLUDE": FLOWS,
        "MUSTER_METRICS_PORT": str(free_port()),
        "MUSTER_OTLP_ENDPOINT": sink.url,
        "MUSTER_TEST_CRASHED": str(cluster.folder / "crashed"),
        "MUSTER_MAX_LOSSES": "2",
        "MUSTER_LOG_FORMAT": "json",
    }
    return cluster.start(environment=environment)


@pytest.mark.timeout(180)
def test_a_run_apart_counts_in_its_worker_s_metrics(cluster: Cluster, sink: OtlpSink) -> None:
    """Its first worker dies, so that the second one has it executed apart, until a step is done."""
    first = start(cluster, sink)
    settings = cluster.settings.model_copy(update={"include": (FLOWS,)})
    with Muster(settings) as muster:
        run = muster.enqueue("seen", {"crash": True})
        wait_until(lambda: not first.alive, 60, "the first worker is dead")
        second = start(cluster, sink)
        assert run.result(90).status == "success"
        events = [event.type for event in run.events()]
        trace_id = run.row().trace_id
    assert "run.isolated" in events
    told = scraped(second)
    assert told["muster_step_seconds_count seen-crash succeeded"] == 1
    assert told["muster_runs_ended_total seen succeeded"] == 1
    assert told["muster_runs_held"] == 0
    assert told["muster_rescues_total run_requeued"] == 1
    apart = [
        line
        for line in lines(second.log.read_text(errors="replace"))
        if line["process"] != second.process.pid and line.get("event") == "run.started"
    ]
    assert [(line["run"], line["trace_id"]) for line in apart] == [(run.id, trace_id)]
    wait_until(
        lambda: any(span.name == "invoke_agent seen-crash" for span in sink.spans(trace_id)),
        30,
        "the step's span has come",
    )
