"""Composes the one Celery app of a worker from settings, broker, tasks and engine."""

from __future__ import annotations

from worker.app import MusterCelery, configure
from worker.embedded import ensure_redis
from worker.lifecycle import follow
from worker.loading import load_modules
from worker.process import isolating
from worker.settings import Settings
from worker.tasks import register_tasks


def build() -> MusterCelery:
    """Compose the app: settings, broker, users' modules, tasks, the engine's life.

    Raises:
        ConfigurationError: A setting is wrong.
        ModuleNotLoaded: A module of MUSTER_INCLUDE cannot be imported.
    """
    settings = Settings.load()
    made = MusterCelery("muster")
    redis = ensure_redis(settings)
    configure(made, redis.url, concurrency=settings.concurrency)
    load_modules(settings.include)
    process = isolating(made, settings)
    register_tasks(made, process)
    follow(made, process, settings, redis.url)
    return made
