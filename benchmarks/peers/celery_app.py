"""Plain Celery: Redis as broker and result backend, default settings but events for Flower."""

from __future__ import annotations

import time
from typing import Any

from celery import Celery

BROKER_VARIABLE = "BENCH_BROKER_URL"
VISIBILITY_VARIABLE = "BENCH_VISIBILITY_SECONDS"
_CONNECTIONS = 10_000


def plain_app(url: str, visibility_seconds: float | None = None) -> Celery:
    """Return an app with the tasks that are measured.

    Args:
        url: Redis.
        visibility_seconds: Makes tasks survive their worker: acknowledged late, delivered again
            after so long. None: acknowledged early, as by default, and lost with their worker.
    """
    app = Celery("bench", broker=url, backend=url, set_as_current=False)
    # With Celery's ten connections thousands of concurrent tasks fail to acknowledge.
    options: dict[str, Any] = {"max_connections": _CONNECTIONS}
    if visibility_seconds is not None:
        options["visibility_timeout"] = visibility_seconds
        app.conf.update(task_acks_late=True, task_reject_on_worker_lost=True)
    app.conf.update(
        broker_transport_options=options,
        broker_connection_retry_on_startup=True,
        worker_send_task_events=True,  # Muster's are on too: Flower is part of both
        task_send_sent_event=True,
        worker_hijack_root_logger=False,
    )
    for function in (noop, add_up, wait, turn):
        app.task(name=f"bench.{function.__name__}", shared=False)(function)
    return app


def noop(value: Any) -> Any:
    """Do nothing."""
    return value


def add_up(values: list[int]) -> int:
    """Gather what a group returned."""
    return sum(values)


def wait(seconds: float) -> float:
    """Wait, as for a model; say when that began."""
    begun = time.time()
    time.sleep(seconds)
    return begun


def turn(tenant: str, seconds: float) -> tuple[float, str]:
    """Wait; say when that ended, and whose turn it was."""
    time.sleep(seconds)
    return time.time(), tenant
