"""Asks journal and Redis for the figures that belong to the cluster, not to this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from envelope.ports.queue import Queue
from worker.coordination.permits.count import PermitCount, count_permits
from worker.journal.connect import reader_engine
from worker.journal.figures import Figures, read_figures
from worker.journal.urls import database_url

_ANSWER_SECONDS = 2.0

Names = Callable[[], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Coordination:
    """What a scrape tells of Redis: permits by agent, messages by queue."""

    permits: Sequence[PermitCount]
    queues: dict[str, int]


class JournalFigures:
    """Asks the journal, over a connection that is closed again: none must outlive a fork.

    Args:
        url: The journal's database.
        flows: Names the flows to tell of.
    """

    def __init__(self, url: str, flows: Names) -> None:
        self._url = url
        self._flows = flows
        self._engine: Engine | None = None

    def __call__(self) -> Figures:
        """Return the figures; raises whatever the database says."""
        if self._engine is None:
            self._engine = reader_engine(database_url(self._url))
        try:
            with self._engine.connect() as connection:
                return read_figures(connection, self._flows())
        finally:
            self._engine.dispose()


class RedisFigures:
    """Asks Redis.

    Args:
        url: Its address.
        queue: Knows how many messages wait.
        queues: Names the queues to tell of.
    """

    def __init__(self, url: str, queue: Queue, queues: Names) -> None:
        self._url = url
        self._queue = queue
        self._queues = queues

    def __call__(self) -> Coordination:
        """Return the figures; raises whatever Redis says."""
        permits = count_permits(self._url, _ANSWER_SECONDS)
        return Coordination(permits, dict(asyncio.run(self._queue.depth(self._queues()))))
