"""The worker program: Celery's own, with our queue patterns and a soft shutdown that drains."""

import logging
import os
from typing import Any

import click
from celery.apps.worker import Worker
from celery.concurrency.prefork import TaskPool as PreforkPool
from celery.worker import state
from click.core import ParameterSource

from worker.pool.asyncio_pool import TaskPool
from worker.queues import expand, known_queues

logger = logging.getLogger(__name__)


class WorkerProgram(Worker):
    """What `celery -A worker worker` runs, whatever the pool."""

    app: Any

    def setup_defaults(self, **options: Any) -> None:  # type: ignore[override]  # Celery calls it so
        """Obeys a typed `-P prefork`, with one process for each CPU unless `-c` is typed too.

        `prefork` is also the default of Celery's option, and Celery lets the setting `worker_pool`
        win over either.
        """
        if options.get("pool") is TaskPool and _typed("pool"):
            options["pool"] = PreforkPool
        if options.get("pool") is PreforkPool and not _typed("concurrency"):
            options["concurrency"] = os.cpu_count()
        super().setup_defaults(**options)

    def setup_queues(self, include: Any, exclude: Any = None) -> None:
        """Expands patterns in `-Q` and `-X`.

        Raises:
            UnknownQueue: A name or pattern matches no queue.
        """
        known = known_queues(self.app)
        super().setup_queues(expand(include, known), expand(exclude, known))

    def stop(self, in_sighandler: bool = False, exitcode: int | None = None) -> None:
        """Announces the shutdown, whatever caused it, then waits until all tasks have ended.

        After an error of the consumer no signal has announced it, and runs would wait for ever for
        steps that nobody fetches any more.
        """
        self.app.drain.announce("Warm")
        super().stop(in_sighandler=in_sighandler, exitcode=exitcode)

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


def _typed(option: str) -> bool:
    """Whether the option stands on the command line of the command that runs."""
    context = click.get_current_context(silent=True)
    if context is None:
        return False
    return context.get_parameter_source(option) is ParameterSource.COMMANDLINE
