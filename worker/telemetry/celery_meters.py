"""Celery's own life under the metric names and labels of the community's exporter.

That is danihodovic/celery-exporter, which counts the events of all workers from outside. Here every
worker counts what it does itself, by Celery's signals: its dashboards work, nothing is lost with an
event, and no process more has to run.
"""

from __future__ import annotations

import socket
import time
from typing import Any

from celery import Celery, signals
from celery.utils.nodenames import nodesplit
from prometheus_client import CollectorRegistry, Counter

from worker.telemetry.bounded import MOST_NAMES, OTHER, Bounded
from worker.telemetry.catalogue import CELERY
from worker.telemetry.prometheus import Instruments

_MOST_EXCEPTIONS = 40
_NO_QUEUE = ""
_PLAIN = ("sent", "received", "started", "succeeded", "rejected", "revoked", "retried")


class CeleryMeters:
    """Counts messages and tasks from when `connect` was called.

    Args:
        app: The first 500 of its tasks and queues are told apart; any other name counts as `other`.
        registry: Where the metrics belong.
    """

    def __init__(self, app: Celery, registry: CollectorRegistry) -> None:
        made = Instruments(CELERY, registry)
        self._app = app
        self._host = socket.gethostname()
        self._counters = {
            event: made.counter(f"celery_task_{event}")
            for event in (
                "sent",
                "received",
                "started",
                "succeeded",
                "rejected",
                "revoked",
                "retried",
            )
        }
        self._failed = made.counter("celery_task_failed")
        self._runtime = made.histogram("celery_task_runtime")
        self._up = made.gauge("celery_worker_up")
        self._active = made.gauge("celery_worker_tasks_active")
        self._exception = Bounded(_MOST_EXCEPTIONS)
        self._task = Bounded(MOST_NAMES)
        self._queue = Bounded(MOST_NAMES)
        self._begun: dict[str, float] = {}

    def connect(self) -> None:
        """Listen to Celery's signals from now on."""
        for signal, receiver in (
            (signals.worker_ready, self._ready),
            (signals.after_task_publish, self._sent),
            (signals.task_received, self._received),
            (signals.task_prerun, self._started),
            (signals.task_success, self._succeeded),
            (signals.task_failure, self._failure),
            (signals.task_retry, self._retried),
            (signals.task_revoked, self._revoked),
            (signals.task_rejected, self._rejected),
            (signals.task_postrun, self._ended),
        ):
            signal.connect(receiver, weak=False)

    def _ready(self, sender: Any = None, **_: Any) -> None:
        self._host = nodesplit(sender.hostname)[1]
        self._up.labels(self._host).set(1)
        self._active.labels(self._host).set(0)

    def _sent(self, sender: Any = None, routing_key: Any = None, **_: Any) -> None:
        self._count("sent", str(sender), routing_key)

    def _received(self, request: Any = None, **_: Any) -> None:
        self._count("received", request.name, _queue_of(request))

    def _started(self, task_id: str = "", task: Any = None, **_: Any) -> None:
        self._begun[task_id] = time.monotonic()
        self._active.labels(self._host).inc()
        self._count("started", task.name, _queue_of(task.request))

    def _succeeded(self, sender: Any = None, **_: Any) -> None:
        name, queue = sender.name, _queue_of(sender.request)
        self._count("succeeded", name, queue)
        begun = self._begun.get(sender.request.id)
        if begun is not None:
            self._runtime.labels(*self._labels(name, queue)).observe(time.monotonic() - begun)

    def _failure(self, sender: Any = None, exception: Any = None, **_: Any) -> None:
        name, host, queue = self._labels(sender.name, _queue_of(sender.request))
        self._failed.labels(name, host, self._exception(type(exception).__name__), queue).inc()

    def _retried(self, sender: Any = None, request: Any = None, **_: Any) -> None:
        self._count("retried", sender.name, _queue_of(request))

    def _revoked(self, sender: Any = None, request: Any = None, **_: Any) -> None:
        self._count("revoked", sender.name, _queue_of(request))

    def _rejected(self, message: Any = None, **_: Any) -> None:
        headers = getattr(message, "headers", None) or {}
        self._count("rejected", str(headers.get("task")), _queue_of(message))

    def _ended(self, task_id: str = "", **_: Any) -> None:
        if self._begun.pop(task_id, None) is not None:
            self._active.labels(self._host).dec()

    def _count(self, event: str, name: str, queue: Any) -> None:
        counter: Counter = self._counters[event]
        counter.labels(*self._labels(name, queue)).inc()

    def _labels(self, name: str, queue: Any) -> tuple[str, str, str]:
        known = queue == _NO_QUEUE or queue in self._app.amqp.queues
        task = self._task(name) if name in self._app.tasks else OTHER
        return task, self._host, self._queue(str(queue)) if known else OTHER


def _queue_of(told: Any) -> str:
    """The routing key of a direct queue is its name."""
    info = getattr(told, "delivery_info", None) or {}
    return str(info.get("routing_key") or _NO_QUEUE)
