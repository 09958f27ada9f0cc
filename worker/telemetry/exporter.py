"""The metrics of one worker, from before its pool starts until it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from orchestrators.registry import FLOWS
from worker.app import MusterCelery
from worker.queue.celery_queue import CeleryQueue
from worker.queues import known_queues
from worker.settings import Settings
from worker.telemetry.celery_meters import CeleryMeters
from worker.telemetry.cluster import JournalFigures, RedisFigures
from worker.telemetry.collector import ClusterCollector
from worker.telemetry.meters import Meters
from worker.telemetry.prefork import FilesCollector, count_in_files, remove
from worker.telemetry.prometheus import PrometheusMeters
from worker.telemetry.server import MetricsServer, NoPortFree

log = structlog.get_logger("muster")


class Exporter:
    """Makes the meters and serves them; does nothing where the port is 0.

    Args:
        app: The Celery app.
        settings: The settings.
        redis_url: Where Redis is.
    """

    def __init__(self, app: MusterCelery, settings: Settings, redis_url: str) -> None:
        self._app = app
        self._settings = settings
        self._redis_url = redis_url
        self._registry = CollectorRegistry()
        self._folder: Path | None = None
        self._server: MetricsServer | None = None

    def prepare(self, *, forks: bool) -> Meters:
        """Return what this process counts with; call it before the pool starts.

        Args:
            forks: Whether tasks run in forked children.
        """
        if not self._settings.metrics_port:
            return Meters()
        counted = CollectorRegistry() if forks else self._registry
        if forks:
            self._folder = count_in_files(self._settings.home)
        meters = PrometheusMeters(counted)
        CeleryMeters(self._app, counted).connect()
        self._app.quarantine.meters = meters
        return meters

    def serve(self, healthy: Callable[[], str | None]) -> None:
        """Answer scrapes from now on; without a free port the worker works all the same.

        Args:
            healthy: Says what is wrong with the worker; None where nothing is.
        """
        settings = self._settings
        if not settings.metrics_port:
            return
        self._collect()
        try:
            self._server = MetricsServer(
                self._registry, healthy, settings.metrics_host, settings.metrics_port
            )
        except NoPortFree as error:
            log.warning("metrics.not_served", error=str(error), advice="Set MUSTER_METRICS_PORT.")
        else:
            log.info("metrics.served", url=self._server.url)

    def close(self) -> None:
        """Stop answering."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._folder is not None:
            remove(self._folder)

    def _collect(self) -> None:
        """Besides what is counted here: this process itself, and the cluster."""
        if self._folder is not None:
            self._registry.register(FilesCollector(self._folder))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        queue, app = CeleryQueue(self._app), self._app
        self._registry.register(
            ClusterCollector(
                JournalFigures(self._settings.journal_url, FLOWS.names),
                RedisFigures(self._redis_url, queue, lambda: sorted(known_queues(app))),
            )
        )
