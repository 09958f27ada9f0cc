"""What a process needs to reach runs: journal, queue, wake-ups. Client and worker both open one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Self

import structlog

from envelope.ports.journal import Journal
from envelope.ports.queue import Queue
from envelope.ports.wakeup import Wakeups
from worker.app import MusterCelery, configure
from worker.embedded import RedisServer, ensure_redis
from worker.journal.memory import MemoryJournal
from worker.journal.open import journal_for
from worker.queue.celery_queue import CeleryQueue
from worker.settings import Settings
from worker.wakeups.in_process import InProcessWakeups
from worker.wakeups.redis_wakeups import RedisWakeups


@dataclass(slots=True)
class Backend:
    """Journal, queue and wake-ups of one process, on one event loop.

    Attributes:
        queue: None in process: there runs are executed by whoever accepts them.
    """

    settings: Settings
    journal: Journal
    queue: Queue | None
    wakeups: Wakeups
    redis: RedisServer | None = None
    log: Any = field(default_factory=lambda: structlog.get_logger("muster"))

    @classmethod
    async def open(cls, settings: Settings, app: MusterCelery | None = None) -> Self:
        """Connect as the settings say; where no URL is set, the embedded parts start.

        Args:
            settings: The settings.
            app: The Celery app to publish with; one is made where none is given.

        Raises:
            JournalUnavailable: The database is away. Redis being away is no error here.
        """
        log = structlog.get_logger("muster")
        redis = await asyncio.to_thread(ensure_redis, settings)
        journal = journal_for(settings.journal_url)
        await journal.open()
        if app is None:
            app = MusterCelery("muster-client", set_as_current=False)
            configure(app, redis.url)
        wakeups = RedisWakeups(redis.url, log)
        return cls(settings, journal, CeleryQueue(app), wakeups, redis, log)

    @classmethod
    async def in_process(cls, settings: Settings | None = None) -> Self:
        """Keep everything in this process: no queue, no file, no server."""
        journal = MemoryJournal()
        await journal.open()
        return cls(settings or Settings.load(), journal, None, InProcessWakeups())

    async def close(self) -> None:
        """Let go of everything; what was submitted is written first."""
        await self.wakeups.close()
        await self.journal.close()
        if self.queue is not None:
            await self.queue.close()
        if self.redis is not None:
            await asyncio.to_thread(self.redis.close)
