"""Tells Prometheus the cluster's figures when it asks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from worker.journal.figures import Figures
from worker.telemetry.bounded import MOST_AGENTS, Bounded
from worker.telemetry.catalogue import CLUSTER
from worker.telemetry.cluster import Coordination
from worker.telemetry.part import Part

FRESH_SECONDS = 5.0
DEADLINE_SECONDS = 2.5

_METRICS = {metric.name: metric for metric in CLUSTER}

Rows = Iterable[tuple[Sequence[str], float]]


class ClusterCollector(Collector):
    """The metrics of `catalogue.CLUSTER`, read at most every five seconds.

    A part that is away costs its own figures and the deadline; `muster_up` says which it is.

    Args:
        journal: Asks the journal.
        redis: Asks Redis.
    """

    def __init__(self, journal: Callable[[], Figures], redis: Callable[[], Coordination]) -> None:
        self._journal = Part(journal, FRESH_SECONDS)
        self._redis = Part(redis, FRESH_SECONDS)
        self._agent = Bounded(MOST_AGENTS)

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Name nothing beforehand: registering must not ask anybody."""
        return []

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Ask both parts at once and tell what they answered."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        for part in (self._journal, self._redis):
            part.begin()
        figures, coordination = self._journal.answer(deadline), self._redis.answer(deadline)
        rows: dict[str, Rows] = {
            "muster_up": [
                (("journal",), figures is not None),
                (("redis",), coordination is not None),
            ]
        }
        if figures is not None:
            rows |= _of_journal(figures)
        if coordination is not None:
            rows |= self._of_redis(coordination)
        return [_family(name, rows[name]) for name in _METRICS if name in rows]

    def _of_redis(self, coordination: Coordination) -> dict[str, Rows]:
        named = [(self._agent(each.agent), each) for each in coordination.permits]
        return {
            "muster_permits_limit": _summed((agent, each.limit) for agent, each in named),
            "muster_permits_held": _summed((agent, each.held) for agent, each in named),
            "muster_permits_waiting": _summed((agent, each.waiting) for agent, each in named),
            "celery_queue_length": _by_name(coordination.queues),
        }


def _of_journal(figures: Figures) -> dict[str, Rows]:
    return {
        "muster_runs": list(figures.runs.items()),
        "muster_dead_letters": list(figures.dead_letters.items()),
        "muster_oldest_due_seconds": _by_name(figures.oldest_due),
        "muster_workers": _by_name(figures.workers),
        "muster_quarantined": [((), figures.quarantined)],
    }


def _summed(figures: Iterable[tuple[str, int]]) -> Rows:
    """Several agents may be `other`; Prometheus refuses a scrape that tells a series twice."""
    summed = Counter[str]()
    for name, figure in figures:
        summed[name] += figure
    return _by_name(summed)


def _by_name(figures: Mapping[str, float]) -> Rows:
    return [((name,), figure) for name, figure in figures.items()]


def _family(name: str, rows: Rows) -> GaugeMetricFamily:
    metric = _METRICS[name]
    family = GaugeMetricFamily(name, metric.help, labels=metric.labels)
    for labels, figure in rows:
        family.add_metric(labels, float(figure))
    return family
