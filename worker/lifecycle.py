"""Ties the life of engine and metrics to Celery's signals."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from celery import signals
from celery.concurrency import get_implementation
from celery.concurrency.prefork import TaskPool as PreforkPool

from worker.app import MusterCelery
from worker.logs import configure as configure_logs
from worker.pool.process_loop import process_loop
from worker.process import WorkerProcess
from worker.settings import Settings
from worker.telemetry.exporter import Exporter

_STOP_SECONDS = 15.0


def follow(app: MusterCelery, process: WorkerProcess, settings: Settings, redis_url: str) -> None:
    """Start the engine with the worker, drain it at the first signal to stop, end it at the end.

    Under prefork each child has an engine and the parent has none: a journal does not survive a
    fork. The parent serves what all of them count.
    """
    exporter = Exporter(app, settings, redis_url)

    @signals.setup_logging.connect(weak=False)
    def logging(**_: Any) -> None:
        configure_logs(settings)

    @signals.worker_init.connect(weak=False)
    def init(sender: Any = None, **_: Any) -> None:
        forks = issubclass(get_implementation(sender.pool_cls), PreforkPool)
        process.meters = exporter.prepare(forks=forks)

    @signals.worker_ready.connect(weak=False)
    def ready(**_: Any) -> None:
        if app.holds_many_runs:
            asyncio.run_coroutine_threadsafe(process.service(), process_loop())
        exporter.serve(process.trouble)

    @app.drain.on_drain
    async def drain(_how: str) -> None:
        await process.drain()

    @signals.worker_shutdown.connect(weak=False)
    def stop(**_: Any) -> None:
        _blocking(process.stop())
        exporter.close()

    @signals.worker_process_shutdown.connect(weak=False)
    def stop_child(**_: Any) -> None:
        _blocking(process.stop())


def _blocking(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run_coroutine_threadsafe(work, process_loop()).result(_STOP_SECONDS)
