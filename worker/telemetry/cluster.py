"""Asks journal and Redis for the figures that belong to the cluster, not to this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine

from envelope.ports.queue import Queue
from worker.coordination.permits.count import PermitCount, count_permits
from worker.journal.connect import reader_engine
from worker.journal.figures import Figures, read_figures
from worker.journal.urls import database_url
from worker.telemetry.bounded import MOST_FLOWS, MOST_NAMES

_ANSWER_SECONDS = 2.0
_FLOWS_AT_ONCE = 100
"""One question has three terms for each, and SQLite takes 500."""

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
        flows: Names the flows to tell of; the first 200 are.
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
                return _read(connection, self._flows()[:MOST_FLOWS])
        finally:
            self._engine.dispose()


class RedisFigures:
    """Asks Redis.

    Args:
        url: Its address.
        queue: Knows how many messages wait.
        queues: Names the queues to tell of; the first 500 are.
    """

    def __init__(self, url: str, queue: Queue, queues: Names) -> None:
        self._url = url
        self._queue = queue
        self._queues = queues

    def __call__(self) -> Coordination:
        """Return the figures; raises whatever Redis says."""
        permits = count_permits(self._url, _ANSWER_SECONDS)
        queues = self._queues()[:MOST_NAMES]
        return Coordination(permits, dict(asyncio.run(self._queue.depth(queues))))


def _read(connection: Connection, flows: Sequence[str]) -> Figures:
    """Read the figures of these flows, some at a time."""
    parts = [read_figures(connection, some) for some in _parts(flows)]
    return replace(
        parts[0],
        runs=_merged(part.runs for part in parts),
        dead_letters=_merged(part.dead_letters for part in parts),
        oldest_due=_merged(part.oldest_due for part in parts),
    )


def _parts(flows: Sequence[str]) -> Iterable[Sequence[str]]:
    starts = range(0, max(1, len(flows)), _FLOWS_AT_ONCE)
    return (flows[start : start + _FLOWS_AT_ONCE] for start in starts)


def _merged(parts: Iterable[Mapping[Any, Any]]) -> Mapping[Any, Any]:
    return {name: figure for part in parts for name, figure in part.items()}
