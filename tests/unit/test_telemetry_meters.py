"""Every fact has a metric, every metric a page, and no label grows without bound."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from envelope.usage import Usage
from worker.telemetry.bounded import MOST_AGENTS, MOST_FLOWS, MOST_NAMES, OTHER, Bounded
from worker.telemetry.catalogue import METRICS, WORKER
from worker.telemetry.celery_meters import CeleryMeters
from worker.telemetry.docs import PAGE, page
from worker.telemetry.meters import Meters
from worker.telemetry.prometheus import PrometheusMeters

ROOT = Path(__file__).parents[2]


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def meters(registry: CollectorRegistry) -> PrometheusMeters:
    return PrometheusMeters(registry)


def value(registry: CollectorRegistry, name: str, /, **labels: str) -> float:
    found = registry.get_sample_value(name, labels)
    assert found is not None, f"{name}{labels} was never counted"
    return found


def tell_everything(meters: Meters, name: str = "x", seconds: float = 0.2) -> None:
    """Call every method once."""
    usage = Usage(requests=1, input_tokens=7, output_tokens=3, cost_usd=0.5)
    meters.run_held(1)
    meters.run_waited(name, seconds)
    meters.run_ended(name, "succeeded", seconds)
    meters.step_waited(name, seconds)
    meters.step_settled(name, "failed", seconds, "CODE")
    meters.step_retried(name)
    meters.permit_waited(name, seconds)
    meters.rate_waited([f"agent:{name}"], seconds)
    meters.model_called(name, "succeeded", seconds, usage)
    meters.cache_asked("step", name, hit=True)
    meters.cache_asked("model", name, hit=False)
    meters.effect_ended(name, "sent")
    meters.journal_written(seconds, 12, 2)
    meters.rescued("run_requeued", 3)
    meters.quarantined("too_large")
    meters.event_told(seconds)


def test_every_method_is_counted_by_a_metric_of_the_catalogue(
    registry: CollectorRegistry, meters: PrometheusMeters
) -> None:
    tell_everything(meters)
    told = {sample.name for family in registry.collect() for sample in family.samples}
    for metric in WORKER:
        sample = f"{metric.name}_count" if metric.kind == "histogram" else metric.exposed
        assert sample in told, f"nothing counts {metric.name}"


def test_each_fact_of_the_port_is_implemented() -> None:
    facts = [name for name, _ in inspect.getmembers(Meters, inspect.isfunction)]
    left = [name for name in facts if name not in vars(PrometheusMeters)]
    assert left == []


def test_the_port_itself_counts_nothing_and_never_fails() -> None:
    tell_everything(Meters())


def test_figures_are_what_was_told(registry: CollectorRegistry, meters: PrometheusMeters) -> None:
    tell_everything(meters)
    meters.run_held(-1)
    assert value(registry, "muster_runs_held") == 0
    assert value(registry, "muster_runs_ended_total", flow="x", state="succeeded") == 1
    assert value(registry, "muster_llm_tokens_total", model="x", direction="input") == 7
    assert value(registry, "muster_llm_tokens_total", model="x", direction="output") == 3
    assert value(registry, "muster_llm_cost_usd_total", model="x") == 0.5
    assert value(registry, "muster_fenced_writes_total") == 2
    assert value(registry, "muster_rescues_total", kind="run_requeued") == 3
    assert value(registry, "muster_journal_batch_operations_sum") == 12
    assert value(registry, "muster_step_failures_total", agent="x", code="CODE") == 1


def test_a_clock_that_went_back_is_no_negative_wait(
    registry: CollectorRegistry, meters: PrometheusMeters
) -> None:
    meters.run_waited("x", -3.0)
    assert value(registry, "muster_run_wait_seconds_sum", flow="x") == 0


def test_hits_and_misses_are_told_apart_by_cache(
    registry: CollectorRegistry, meters: PrometheusMeters
) -> None:
    for hit in (True, True, False):
        meters.cache_asked("step", "rag", hit=hit)
    meters.cache_asked("model", "rag", hit=False)
    assert value(registry, "muster_cache_hits_total", cache="step", name="rag") == 2
    assert value(registry, "muster_cache_misses_total", cache="step", name="rag") == 1
    assert value(registry, "muster_cache_misses_total", cache="model", name="rag") == 1
    assert registry.get_sample_value("muster_cache_hits_total", {"cache": "model"}) is None


def test_a_run_of_unknown_age_is_counted_without_it(
    registry: CollectorRegistry, meters: PrometheusMeters
) -> None:
    meters.run_ended("x", "dead", None)
    assert value(registry, "muster_runs_ended_total", flow="x", state="dead") == 1
    seconds = {"flow": "x", "state": "dead"}
    assert registry.get_sample_value("muster_run_seconds_count", seconds) is None


def test_an_account_is_waited_for_once(
    registry: CollectorRegistry, meters: PrometheusMeters
) -> None:
    meters.rate_waited(["account:a:b:requests", "account:a:b:tokens"], 1.5)
    assert value(registry, "muster_rate_wait_seconds_count", limit="account:a:b") == 1


def test_what_anybody_may_name_is_bounded(
    registry: CollectorRegistry, meters: PrometheusMeters
) -> None:
    for number in range(1_000):
        name = f"name-{number}"
        meters.model_called(name, "failed", 0.1, Usage())
        meters.step_settled("agent", "failed", 0.1, name)
        meters.effect_ended(name, "sent")
        meters.rate_waited([f"account:{name}:tokens"], 0.1)
    assert series(registry) < 2_500
    assert value(registry, "muster_step_failures_total", agent="agent", code="other") == 940


def series(registry: CollectorRegistry) -> int:
    return sum(len(family.samples) for family in registry.collect())


def test_ten_thousand_of_each_name_are_told_in_bounded_text(
    registry: CollectorRegistry, meters: PrometheusMeters
) -> None:
    for number in range(10_000):
        tell_everything(meters, f"name-{number}")
        if number == 500:
            after_some = series(registry)
    assert series(registry) == after_some < 30_000
    others = {"flow": "other", "state": "succeeded"}
    assert value(registry, "muster_runs_ended_total", **others) == 10_000 - MOST_FLOWS
    assert value(registry, "muster_step_retries_total", agent="other") == 10_000 - MOST_AGENTS
    waited = value(registry, "muster_rate_wait_seconds_count", limit="agent:other")
    assert waited == 10_000 - MOST_AGENTS


class ManyTasks:
    """A Celery app with more tasks and queues than anybody counts."""

    tasks = frozenset(f"run.{number}" for number in range(10_000))
    amqp = SimpleNamespace(queues=frozenset(f"runs.{number}" for number in range(10_000)))


def test_tasks_and_queues_of_celery_are_bounded(registry: CollectorRegistry) -> None:
    meters: Any = CeleryMeters(ManyTasks(), registry)  # type: ignore[arg-type] # stands for the app
    for number in range(10_000):
        meters._sent(sender=f"run.{number}", routing_key=f"runs.{number}")
    told = [
        (sample.labels["name"], sample.labels["queue_name"], sample.value)
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "celery_task_sent_total"
    ]
    assert len(told) == MOST_NAMES + 1
    assert (OTHER, OTHER, 10_000 - MOST_NAMES) in told


def test_the_first_values_are_told_apart() -> None:
    bounded = Bounded(2)
    assert [bounded(name) for name in "abcab"] == ["a", "b", "other", "a", "b"]


def test_names_follow_prometheus() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert metric.name.startswith(("muster_", "celery_"))
        assert metric.help.endswith(".")
        assert bool(metric.buckets) is (metric.kind == "histogram")
        assert list(metric.buckets) == sorted(metric.buckets)


def test_the_text_is_what_prometheus_reads(
    registry: CollectorRegistry, meters: PrometheusMeters
) -> None:
    tell_everything(meters, name='a "quoted"\nname\\')
    assert rb'flow="a \"quoted\"\nname\\"' in generate_latest(registry)


def test_the_page_is_that_of_the_code() -> None:
    written = (ROOT / PAGE).read_text("utf-8")
    assert written == page(), "run `python -m worker.telemetry.docs`"
