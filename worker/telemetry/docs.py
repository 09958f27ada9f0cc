"""Writes the metrics page from the catalogue.

`python -m worker.telemetry.docs` in a checkout writes it anew; a test fails when it drifts.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from worker.telemetry.bounded import MOST_AGENTS, MOST_FLOWS, MOST_NAMES
from worker.telemetry.catalogue import CELERY, CLUSTER, WORKER, Metric

PAGE = Path("docs/reference/metrics.md")

_HEAD = """\
# Metrics

<!-- Written by `python -m worker.telemetry.docs`; a test keeps it true. -->

Every worker serves them on `/metrics` ([how to observe](../howto/observe.md)). All label values are
of a bounded set: states and outcomes are fixed words. Of what anybody may name, the first ones are
told apart and the rest counts as `other`: {flows} flows, {agents} agents, {names} tasks and queues,
30 models, 60 failure codes, 40 kinds of exceptions, 20 channels, 20 accounts. Of the cluster's
flows and queues, those beyond are not told. No label ever holds an id, a tenant, a payload or
anything that a user wrote.
"""
_WORKER = """
## What a worker did

Counted by each process for itself and lost with it: `sum` over the instances, `rate` over time.
Under prefork the children are summed up. What an isolated process does is counted by the worker
that watches it.
"""
_CLUSTER = """
## What the cluster has

Read from journal and Redis when Prometheus asks, at most every five seconds, and the same from
every worker: take `max` over the instances. Figures stop at 100,000, those of dead letters at
10,000; runs that ended well are not counted, so their number costs nothing. A part that is away,
or takes longer than 2.5 seconds, costs its own figures and nothing else:
`muster_up{part="journal"}` and `muster_up{part="redis"}` say which.
"""
_CELERY = """
## Celery

Names and labels of the community's exporter (danihodovic/celery-exporter), so that its dashboards
work. Here each worker counts by itself what it does, which loses nothing with a lost event;
`celery_queue_length` is above. Not there, because no worker knows them: the exporter's counts of
active workers, processes and consumers. `celery_task_sent_total` has what workers sent; clients
serve no metrics. To Celery a run that failed is a task that succeeded: its end is in the journal.
"""
_TABLE = """
| metric | kind | labels | meaning |
|---|---|---|---|
"""


def page() -> str:
    """The text of the reference page."""
    parts = ((_WORKER, WORKER), (_CLUSTER, CLUSTER), (_CELERY, CELERY))
    head = _HEAD.format(flows=MOST_FLOWS, agents=MOST_AGENTS, names=MOST_NAMES)
    return head + "".join(text + _table(metrics) for text, metrics in parts) + _TAIL


_TAIL = """
Besides these there are `process_*`, `python_info` and `python_gc_*` of the Prometheus client.
Histograms are in seconds (`muster_journal_batch_operations` in operations).
"""


def write(root: Path) -> None:
    """Write the page under the root of a checkout."""
    (root / PAGE).write_text(page(), "utf-8")


def _table(metrics: Sequence[Metric]) -> str:
    return _TABLE + "".join(map(_row, metrics))


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "none"
    return f"| `{metric.exposed}` | {metric.kind} | {labels} | {metric.help} |\n"


if __name__ == "__main__":
    write(Path.cwd())
