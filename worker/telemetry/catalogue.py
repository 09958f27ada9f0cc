"""Every metric of Muster: its name, kind, labels and meaning. The reference page is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Source = Literal["worker", "cluster", "celery"]

QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds, for what should take milliseconds."""

WAITS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0)
"""Seconds, for what waits for its turn, and for steps."""

LIVES = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0, 86_400.0, 604_800.0)
"""Seconds, for whole runs, which may wait for days."""

SIZES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)
"""How many at once."""

RUNTIMES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Seconds, as the community's exporter divides them."""

RESCUES = ("run_requeued", "run_dead", "run_woken", "run_sent_again", "step")
"""What `muster_rescues_total` tells apart."""

SHIPPED_CHANNELS = ("email", "webhook")
"""Channels of effects that are counted from 0 on; others from their first effect on."""

OUTCOMES = ("sent", "sent_before", "gated", "refused", "not_sent", "unknown", "cut_off")
"""How an effect may end: `cut_off` is what nobody foresaw, and cancellations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric.

    Attributes:
        name: Without the `_total` of a counter.
        kind: What Prometheus takes it for.
        help: What it says, in one sentence.
        labels: Names of its labels; every one has a bounded set of values.
        buckets: Upper bounds of a histogram's buckets.
        source: `worker`: each process counts what it did itself, so sum them up. `cluster`: read
            from journal and Redis at a scrape, the same from every worker, so take the maximum.
            `celery`: as `worker`, under the names of the community's exporter.
    """

    name: str
    kind: Kind
    help: str
    labels: Sequence[str] = ()
    buckets: Sequence[float] = ()
    source: Source = "worker"

    @property
    def exposed(self) -> str:
        """The name as one queries it."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=name, kind="counter", help=text, labels=labels)


def _histogram(name: str, text: str, buckets: Sequence[float], *labels: str) -> Metric:
    return Metric(name=name, kind="histogram", help=text, labels=labels, buckets=buckets)


def _fact(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=name, kind="gauge", help=text, labels=labels, source="cluster")


def _of_celery(event: str, text: str, *more: str) -> Metric:
    labels = ("name", "hostname", *more, "queue_name")
    name = f"celery_task_{event}"
    return Metric(name=name, kind="counter", help=text, labels=labels, source="celery")


WORKER: Sequence[Metric] = (
    Metric(
        name="muster_runs_held",
        kind="gauge",
        help="Runs that this worker executes now, most of them waiting for steps.",
    ),
    _counter("muster_runs_ended", "Runs whose end was committed here.", "flow", "state"),
    _histogram(
        "muster_run_seconds",
        "From when a run might start to its end, its waits included.",
        LIVES,
        "flow",
        "state",
    ),
    _histogram(
        "muster_run_wait_seconds",
        "From when a run might start until a worker first claimed it: the queue's latency.",
        WAITS,
        "flow",
    ),
    _histogram(
        "muster_step_seconds",
        "Executing a step, with all attempts, until its outcome was known.",
        WAITS,
        "agent",
        "outcome",
    ),
    _histogram(
        "muster_step_wait_seconds",
        "From when a step was recorded as queued until a worker took it, its wait for a permit "
        "included.",
        WAITS,
        "agent",
    ),
    _counter("muster_step_failures", "Steps that failed for good.", "agent", "code"),
    _counter("muster_step_retries", "Attempts that failed and were repeated.", "agent"),
    _histogram("muster_permit_wait_seconds", "Waiting for an agent's permit.", WAITS, "agent"),
    _histogram("muster_rate_wait_seconds", "Waiting for a rate limit's turn.", WAITS, "limit"),
    _histogram(
        "muster_llm_request_seconds",
        "One request to a language, image or embedding model.",
        WAITS,
        "model",
        "outcome",
    ),
    _counter("muster_llm_tokens", "Tokens sent (input) and received.", "model", "direction"),
    _counter("muster_llm_cost_usd", "Price of the requests where it is known.", "model"),
    _counter("muster_cache_hits", "Kept answers that saved an execution.", "cache", "name"),
    _counter("muster_cache_misses", "Answers that a cache did not have.", "cache", "name"),
    _counter("muster_effects", "Effects that steps asked for.", "channel", "outcome"),
    _histogram(
        "muster_journal_commit_seconds",
        "Writing a batch, with retries while the database was away.",
        QUICK,
    ),
    _histogram("muster_journal_batch_operations", "Operations in one transaction.", SIZES),
    _counter("muster_fenced_writes", "Writes that came from a former owner and were refused."),
    _counter("muster_rescues", "What the reconciler found lost and mended.", "kind"),
    _counter("muster_quarantined_messages", "Malformed messages taken from a queue.", "reason"),
    _histogram(
        "muster_event_lag_seconds",
        "From when an event was handed to the journal until its listeners were told.",
        QUICK,
    ),
)

CLUSTER: Sequence[Metric] = (
    _fact("muster_up", "Whether a part of the cluster answered in time.", "part"),
    _fact("muster_runs", "Runs that have not ended.", "flow", "state"),
    _fact(
        "muster_dead_letters",
        "Runs that failed or died and that nobody has replayed.",
        "flow",
        "state",
    ),
    _fact(
        "muster_oldest_due_seconds",
        "How long the oldest run that might start has waited for a worker.",
        "flow",
    ),
    _fact("muster_quarantined", "Descriptions of malformed messages that the journal keeps."),
    _fact("muster_workers", "Workers that the journal knows.", "state"),
    _fact("muster_permits_limit", "The limit of an agent's permits.", "agent"),
    _fact("muster_permits_held", "Permits that are held.", "agent"),
    _fact("muster_permits_waiting", "Steps that wait for a permit.", "agent"),
    Metric(
        name="celery_queue_length",
        kind="gauge",
        help="Messages that wait in a queue.",
        labels=("queue_name",),
        source="cluster",
    ),
)

CELERY: Sequence[Metric] = (
    _of_celery("sent", "Messages that this process published."),
    _of_celery("received", "Messages that the worker fetched."),
    _of_celery("started", "Tasks whose body began."),
    _of_celery("succeeded", "Tasks whose body returned; a failed run is no failed task."),
    _of_celery("failed", "Tasks whose body raised.", "exception"),
    _of_celery("rejected", "Messages that the worker refused."),
    _of_celery("revoked", "Tasks that were revoked."),
    _of_celery("retried", "Tasks that asked Celery to repeat them."),
    Metric(
        name="celery_task_runtime",
        kind="histogram",
        help="Seconds that a task that succeeded took.",
        labels=("name", "hostname", "queue_name"),
        buckets=RUNTIMES,
        source="celery",
    ),
    Metric(
        name="celery_worker_up",
        kind="gauge",
        help="1 while the worker lives.",
        labels=("hostname",),
        source="celery",
    ),
    Metric(
        name="celery_worker_tasks_active",
        kind="gauge",
        help="Tasks that the worker executes now.",
        labels=("hostname",),
        source="celery",
    ),
)

METRICS: Sequence[Metric] = (*WORKER, *CLUSTER, *CELERY)
