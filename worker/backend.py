"""What a process needs to reach runs: journal, queue, wake-ups, and what workers share in Redis."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Self

import structlog

from envelope.ports.budgets import Budgets
from envelope.ports.journal import Journal
from envelope.ports.ledger import Ledger
from envelope.ports.locks import Locks
from envelope.ports.permits import Permits
from envelope.ports.queue import Queue
from envelope.ports.rates import RateLimits
from envelope.ports.shared import SharedStore
from envelope.ports.wakeup import Wakeups
from worker.alive import Alive, new_worker_id
from worker.app import MusterCelery, configure
from worker.coordination.budgets.in_process import InProcessBudgets
from worker.coordination.budgets.redis_budgets import RedisBudgets
from worker.coordination.locks.in_process import InProcessLocks
from worker.coordination.locks.redis_locks import RedisLocks
from worker.coordination.permits.in_process import InProcessPermits
from worker.coordination.permits.redis_permits import RedisPermits
from worker.coordination.rates.in_process import InProcessRates
from worker.coordination.rates.loops import LoopRates
from worker.coordination.rates.redis_rates import RedisRates
from worker.coordination.shared.in_process import InProcessShared
from worker.coordination.shared.redis_shared import RedisShared
from worker.delivery.ledger_of import ledger_of
from worker.embedded import RedisServer, ensure_redis
from worker.journal.memory import MemoryJournal
from worker.journal.open import journal_for
from worker.queue.celery_queue import CeleryQueue
from worker.settings import Settings
from worker.telemetry.client import client_telemetry
from worker.telemetry.telemetry import Telemetry
from worker.telemetry.watched import WatchedPermits, WatchedRates
from worker.wakeups.in_process import InProcessWakeups
from worker.wakeups.redis_wakeups import RedisWakeups


@dataclass(slots=True)
class Backend:
    """The surroundings of one process, client or worker, on one event loop.

    Attributes:
        queue: None in process: there runs are executed by whoever accepts them.
        worker_id: This process as others see it.
    """

    settings: Settings
    journal: Journal
    queue: Queue | None
    wakeups: Wakeups
    permits: Permits
    rates: RateLimits
    locks: Locks
    budgets: Budgets
    worker_id: str
    shared: SharedStore = field(default_factory=InProcessShared)
    redis: RedisServer | None = None
    telemetry: Telemetry = field(default_factory=Telemetry)
    log: Any = field(default_factory=lambda: structlog.get_logger("muster").bind())

    @classmethod
    async def open(
        cls,
        settings: Settings,
        app: MusterCelery | None = None,
        *,
        worker_id: str | None = None,
        telemetry: Telemetry | None = None,
    ) -> Self:
        """Connect as the settings say; where no URL is set, the embedded parts start.

        Args:
            settings: The settings.
            app: The Celery app to publish with; one is made where none is given.
            worker_id: The name that others know this process by; made up where None.
            telemetry: What this process tells of itself; None for what a client tells.

        Raises:
            JournalUnavailable: The database is away. Redis being away is no error here.
        """
        log = structlog.get_logger("muster").bind()  # assembled once, not at each use
        redis = await asyncio.to_thread(ensure_redis, settings)
        worker_id = worker_id or new_worker_id()
        telemetry = telemetry or client_telemetry(settings)
        meters = telemetry.meters
        journal = journal_for(settings.journal_url, worker_id=worker_id, watch=telemetry)
        await journal.open()
        if app is None:
            app = MusterCelery("muster-client", set_as_current=False)
            configure(app, redis.url)
        alive = Alive(journal, worker_id)
        return cls(
            settings=settings,
            journal=journal,
            queue=CeleryQueue(app),
            wakeups=RedisWakeups(redis.url, log, told=meters.event_told),
            permits=WatchedPermits(
                RedisPermits(
                    redis.url,
                    worker_id,
                    living=alive.workers,
                    log=log,
                    grace_seconds=settings.lease_seconds,
                ),
                meters,
            ),
            rates=WatchedRates(LoopRates(lambda: RedisRates(redis.url, log)), meters),
            locks=RedisLocks(redis.url, worker_id, log=log, alone=alive.nobody_else),
            budgets=RedisBudgets(redis.url, journal.spent, log),
            shared=RedisShared(redis.url),
            worker_id=worker_id,
            redis=redis,
            telemetry=telemetry,
            log=log,
        )

    @classmethod
    async def in_process(cls, settings: Settings | None = None) -> Self:
        """Keep everything in this process: no queue, no file, no server."""
        settings = settings or Settings.load()
        journal = MemoryJournal()
        await journal.open()
        return cls(
            settings=settings,
            telemetry=client_telemetry(settings),
            journal=journal,
            queue=None,
            wakeups=InProcessWakeups(),
            permits=InProcessPermits(),
            rates=InProcessRates(),
            locks=InProcessLocks(),
            budgets=InProcessBudgets(journal.spent),
            shared=InProcessShared(),
            worker_id=new_worker_id(),
        )

    @property
    def ledger(self) -> Ledger:
        """The journal's memory of effects and approvals: the same object by its other port."""
        return ledger_of(self.journal)

    async def close(self) -> None:
        """Let go of everything; what was submitted is written first."""
        for shared in (self.permits, self.rates, self.locks, self.budgets, self.wakeups):
            await shared.close()
        await self.shared.aclose()
        await self.journal.close()
        await asyncio.to_thread(self.telemetry.close)
        if self.queue is not None:
            await self.queue.close()
        if self.redis is not None:
            await asyncio.to_thread(self.redis.close)
