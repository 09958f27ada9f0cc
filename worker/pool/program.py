"""The worker program: Celery's own, with our queue patterns and a soft shutdown that drains."""

import logging
from typing import Any

from celery.apps.worker import Worker
from celery.worker import state

from worker.queues import expand, known_queues

logger = logging.getLogger(__name__)


class WorkerProgram(Worker):
    """What `celery -A worker worker` runs, whatever the pool."""

    app: Any

    def setup_queues(self, include: Any, exclude: Any = None) -> None:
        """Expands patterns in `-Q` and `-X`.

        Raises:
            UnknownQueue: A name or pattern matches no queue.
        """
        known = known_queues(self.app)
        super().setup_queues(expand(include, known), expand(exclude, known))

    def wait_for_soft_shutdown(self) -> None:  # type: ignore[override]  # the stubs err
        """Announces the shutdown, then waits until all tasks have ended or the time is up."""
        self.app.drain.announce("Cold")
        wait_idle = getattr(self.pool, "wait_idle", None)
        seconds = self.app.conf.worker_soft_shutdown_timeout
        if wait_idle is None:
            super().wait_for_soft_shutdown()
        elif seconds > 0 and state.active_requests:
            logger.warning("Soft shutdown: running tasks have %s seconds to end", seconds)
            wait_idle(seconds)
