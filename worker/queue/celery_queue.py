"""Hints as Celery messages: task `run.<flow>` for a run, `agent.<name>` for a queued step."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from celery import Celery
from kombu.exceptions import (  # type: ignore[attr-defined]  # the stubs are older
    BatchPublishError,
    OperationalError,
)
from redis.exceptions import RedisError

from envelope.errors import QueueUnavailable
from envelope.ports.journal_rows import Hint
from envelope.ports.queue import topic

HIGHEST_PRIORITY = 9
_AWAY = (BatchPublishError, OperationalError, RedisError, OSError)


class CeleryQueue:
    """Publishes with the app's own producers, in a thread, because kombu is synchronous.

    Args:
        app: The Celery app, configured for the broker.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    async def enqueue(self, hints: Sequence[Hint]) -> None:
        """Send one message per hint, in one pipeline; an outage may let some of them through."""
        await asyncio.to_thread(self._publish, hints)

    async def depth(self, topics: Sequence[str]) -> dict[str, int]:
        """Return how many messages wait in each topic."""
        return await asyncio.to_thread(self._depths, topics)

    async def close(self) -> None:
        """Close the pooled connections of this process."""
        await asyncio.to_thread(self._app.close)

    def _publish(self, hints: Sequence[Hint]) -> None:
        try:
            with self._app.producer_or_acquire() as producer, producer.batch():
                for hint in hints:
                    self._send(producer, hint)
        except _AWAY as error:
            raise QueueUnavailable(_away(error)) from error

    def _send(self, producer: Any, hint: Hint) -> None:
        name = f"agent.{hint.agent}" if hint.agent else f"run.{hint.flow}"
        args = [hint.run_id, hint.step] if hint.step else [hint.run_id]
        self._app.send_task(
            name,
            args=args,
            kwargs={"trace_id": hint.trace_id} if hint.trace_id else {},
            queue=topic(hint),
            priority=celery_priority(hint.priority),
            producer=producer,
            retry=False,
            ignore_result=True,
        )

    def _depths(self, topics: Sequence[str]) -> dict[str, int]:
        try:
            with self._app.connection_or_acquire() as connection:
                channel = connection.default_channel
                return {name: _size(channel, name) for name in topics}
        except _AWAY as error:
            raise QueueUnavailable(_away(error)) from error


def celery_priority(priority: int) -> int:
    """Return Celery's number for ours: over Redis, Celery's 0 goes first and 9 last."""
    return HIGHEST_PRIORITY - max(0, min(HIGHEST_PRIORITY, priority))


def _size(channel: Any, queue: str) -> int:
    """Messages of all priorities; the Redis transport keeps a list for each."""
    return int(channel._size(queue))  # noqa: SLF001 - the only call that does not declare a queue


def _away(error: BaseException) -> str:
    return (
        f"Redis does not answer ({type(error).__name__}). Accepted runs are kept in the journal "
        "and sent when it is back; check MUSTER_REDIS_URL."
    )
