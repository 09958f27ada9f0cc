"""Reads the metrics of a worker of the cluster rig."""

from __future__ import annotations

import re

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.rig.cluster import WorkerHandle
from tests.services.waiting import wait_until

_URL = re.compile(r'(?:"url": "|url=)(http://[^"\s]+/metrics)')


def metrics_url(worker: WorkerHandle) -> str:
    """The address that the worker's log names."""
    found = wait_until(
        lambda: _URL.search(worker.log.read_text(errors="replace")), 30, "metrics are served"
    )
    return found[1]


def scraped_text(worker: WorkerHandle) -> str:
    answer = httpx2.get(metrics_url(worker), timeout=10)
    assert answer.status_code == 200
    return answer.text


def scraped(worker: WorkerHandle) -> dict[str, float]:
    """Samples by name and the values of their labels, without buckets."""
    return {
        _named(sample): sample.value
        for family in text_string_to_metric_families(scraped_text(worker))
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }


def _named(sample: Sample) -> str:
    return " ".join([sample.name, *(sample.labels[name] for name in sorted(sample.labels))])
