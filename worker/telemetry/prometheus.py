"""Counts for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from agents.cache_watch import CacheKind
from envelope.usage import Usage
from worker.quarantine.reason import Reason
from worker.telemetry.bounded import MOST_AGENTS, MOST_FLOWS, Bounded
from worker.telemetry.catalogue import OUTCOMES, RESCUES, SHIPPED_CHANNELS, WORKER, Metric
from worker.telemetry.meters import Meters

_MOST_MODELS = 30
_MOST_CODES = 60
_MOST_CHANNELS = 20
_MOST_ACCOUNTS = 20
_OF_AGENT = "agent:"

I = TypeVar("I", bound=MetricWrapperBase)  # noqa: E741 - an instrument


class Instruments:
    """The metrics of one registry, by name.

    Args:
        metrics: Which ones.
        registry: Where they belong.
    """

    def __init__(self, metrics: Sequence[Metric], registry: CollectorRegistry) -> None:
        self._made = {metric.name: _instrument(metric, registry) for metric in metrics}

    def counter(self, name: str) -> Counter:
        """Return a counter."""
        return self._of(Counter, name)

    def gauge(self, name: str) -> Gauge:
        """Return a gauge."""
        return self._of(Gauge, name)

    def histogram(self, name: str) -> Histogram:
        """Return a histogram."""
        return self._of(Histogram, name)

    def _of(self, kind: type[I], name: str) -> I:
        made = self._made[name]
        if not isinstance(made, kind):
            raise TypeError(f"Metric {name} is no {kind.__name__}.")
        return made


def _instrument(metric: Metric, registry: CollectorRegistry) -> MetricWrapperBase:
    text, labels = metric.help, tuple(metric.labels)
    if metric.kind == "counter":
        return Counter(metric.name, text, labels, registry=registry)
    if metric.kind == "gauge":
        # Under prefork the figures of the processes that live are added up.
        return Gauge(metric.name, text, labels, registry=registry, multiprocess_mode="livesum")
    return Histogram(metric.name, text, labels, registry=registry, buckets=metric.buckets)


class PrometheusMeters(Meters):
    """Counts what this process does.

    States and outcomes are of enumerations. Flows, agents, models, failure codes, channels and
    accounts are anybody's to name: of each the first ones are told apart.

    Args:
        registry: Where the metrics belong; a registry of the worker's own.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        made = Instruments(WORKER, registry)
        self._runs_held = made.gauge("muster_runs_held")
        self._runs_ended = made.counter("muster_runs_ended")
        self._run_seconds = made.histogram("muster_run_seconds")
        self._run_wait = made.histogram("muster_run_wait_seconds")
        self._step_seconds = made.histogram("muster_step_seconds")
        self._step_wait = made.histogram("muster_step_wait_seconds")
        self._step_failures = made.counter("muster_step_failures")
        self._step_retries = made.counter("muster_step_retries")
        self._permit_wait = made.histogram("muster_permit_wait_seconds")
        self._rate_wait = made.histogram("muster_rate_wait_seconds")
        self._llm_seconds = made.histogram("muster_llm_request_seconds")
        self._llm_tokens = made.counter("muster_llm_tokens")
        self._llm_cost = made.counter("muster_llm_cost_usd")
        self._cache_hits = made.counter("muster_cache_hits")
        self._cache_misses = made.counter("muster_cache_misses")
        self._effects = made.counter("muster_effects")
        self._commit_seconds = made.histogram("muster_journal_commit_seconds")
        self._batch_operations = made.histogram("muster_journal_batch_operations")
        self._fenced = made.counter("muster_fenced_writes")
        self._rescues = made.counter("muster_rescues")
        self._quarantined = made.counter("muster_quarantined_messages")
        self._event_lag = made.histogram("muster_event_lag_seconds")
        self._flow = Bounded(MOST_FLOWS)
        self._agent = Bounded(MOST_AGENTS)
        self._model = Bounded(_MOST_MODELS)
        self._code = Bounded(_MOST_CODES)
        self._channel = Bounded(_MOST_CHANNELS)
        self._limit = Bounded(_MOST_ACCOUNTS)
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """A series that appears with its first count has no increase: no alert would see it."""
        for reason in Reason:
            self._quarantined.labels(reason.value)
        for kind in RESCUES:
            self._rescues.labels(kind)
        for channel, outcome in product(SHIPPED_CHANNELS, OUTCOMES):
            self._effects.labels(self._channel(channel), outcome)

    def run_held(self, change: int) -> None:
        """Add it to the runs held."""
        self._runs_held.inc(change)

    def run_waited(self, flow: str, seconds: float) -> None:
        """Observe the wait."""
        self._run_wait.labels(self._flow(flow)).observe(max(0.0, seconds))

    def run_ended(self, flow: str, state: str, seconds: float | None) -> None:
        """Count the run and observe its life where that is known."""
        name = self._flow(flow)
        self._runs_ended.labels(name, state).inc()
        if seconds is not None:
            self._run_seconds.labels(name, state).observe(max(0.0, seconds))

    def step_waited(self, agent: str, seconds: float) -> None:
        """Observe the wait."""
        self._step_wait.labels(self._agent(agent)).observe(max(0.0, seconds))

    def step_settled(self, agent: str, outcome: str, seconds: float, code: str | None) -> None:
        """Observe the step and count its failure."""
        name = self._agent(agent)
        self._step_seconds.labels(name, outcome).observe(seconds)
        if code is not None:
            self._step_failures.labels(name, self._code(code)).inc()

    def step_retried(self, agent: str) -> None:
        """Count the repetition."""
        self._step_retries.labels(self._agent(agent)).inc()

    def permit_waited(self, agent: str, seconds: float) -> None:
        """Observe the wait."""
        self._permit_wait.labels(self._agent(agent)).observe(seconds)

    def rate_waited(self, keys: Iterable[str], seconds: float) -> None:
        """Observe the wait once for each agent or account."""
        for limit in {self._limit_of(key) for key in keys}:
            self._rate_wait.labels(limit).observe(seconds)

    def model_called(self, model: str, outcome: str, seconds: float, usage: Usage) -> None:
        """Observe the request and count what it used."""
        name = self._model(model)
        self._llm_seconds.labels(name, outcome).observe(seconds)
        self._llm_tokens.labels(name, "input").inc(usage.input_tokens)
        self._llm_tokens.labels(name, "output").inc(usage.output_tokens)
        self._llm_cost.labels(name).inc(usage.cost_usd)

    def cache_asked(self, kind: CacheKind, name: str, *, hit: bool) -> None:
        """Count the hit or miss."""
        asked = self._cache_hits if hit else self._cache_misses
        asked.labels(kind, self._agent(name) if kind == "step" else self._model(name)).inc()

    def effect_ended(self, channel: str, outcome: str) -> None:
        """Count the effect."""
        self._effects.labels(self._channel(channel), outcome).inc()

    def journal_written(self, seconds: float, operations: int, fenced: int) -> None:
        """Observe the batch and count what was refused."""
        self._commit_seconds.observe(seconds)
        self._batch_operations.observe(operations)
        self._fenced.inc(fenced)

    def rescued(self, kind: str, count: int) -> None:
        """Count what was mended."""
        self._rescues.labels(kind).inc(count)

    def quarantined(self, reason: str) -> None:
        """Count the message."""
        self._quarantined.labels(reason).inc()

    def event_told(self, seconds: float) -> None:
        """Observe the lag."""
        self._event_lag.observe(seconds)

    def _limit_of(self, key: str) -> str:
        """`account:default:tokens` and `account:default:requests` are waited for as one."""
        if key.startswith(_OF_AGENT):
            return _OF_AGENT + self._agent(key.removeprefix(_OF_AGENT))
        return self._limit(key.rpartition(":")[0] if key.startswith("account:") else key)
