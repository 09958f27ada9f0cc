"""The engine at work in one process: lease, reconciler, wake-ups, started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from orchestrators.flow.router import MoneyLeft
from worker.delivery.provide import provide_delivery
from worker.engine.cell import SubprocessCell
from worker.engine.engine import Engine
from worker.engine.lease import Lease
from worker.engine.money import MoneyOfRuns
from worker.engine.notices import CANCEL_NOTICE, COME_NOTICE, PERMIT_NOTICE, SIGNAL_NOTICE
from worker.engine.parts import EngineParts
from worker.engine.reconciler import Reconciler
from worker.engine.watchdog import Watchdog, worker_limit

_RESTART_SECONDS = 1.0


class EngineService:
    """Starts an engine and what keeps it alive; all of it on one event loop.

    A worker, known by its cell, ends itself when that loop is stuck: a supervisor starts it anew.
    An engine in its caller's own process never does.

    Example:
        >>> service = EngineService(parts)
        >>> await service.start()
        >>> await service.engine.execute(run_id)
        >>> await service.stop()
    """

    def __init__(self, parts: EngineParts) -> None:
        self.parts = parts
        provide_delivery(parts.resources, parts.settings, parts.journal, parts.log)
        parts.resources.provide(MoneyLeft, lambda: MoneyOfRuns(parts.journal))  # type: ignore[type-abstract] # a port is provided under its Protocol
        self.engine = Engine(parts)
        self.lease = Lease(self.engine)
        self.reconciler = Reconciler(self.engine, self.lease)
        self._watchdog = Watchdog(
            worker_limit(parts.settings), parts.log.bind(worker=parts.worker_id)
        )
        self._tasks: list[asyncio.Task[None]] = []
        if isinstance(parts.cell, SubprocessCell):
            parts.cell.telemetry = parts.telemetry  # what is done there is counted here

    async def start(self) -> None:
        """Take the lease, then begin to renew it, to reconcile and to listen.

        Raises:
            JournalUnavailable: The database is away.
        """
        await self.lease.take()
        works = {
            "lease": self.lease.beat_for_ever,
            "reconciler": self.reconciler.work_for_ever,
            "permits": self.reconciler.care_for_permits_for_ever,
            "waiting": self.engine.waiting.deliver_for_ever,
            "wakeups": self._listen_for_ever,
        }
        self._tasks = [
            asyncio.create_task(self._supervised(name, work), name=f"muster-{name}")
            for name, work in works.items()
        ]
        if self.parts.cell is not None:
            self._watchdog.start()

    async def stop(self) -> None:
        """Give every run back, then let the lease go."""
        await self.engine.drain()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._watchdog.stop()
        await self.lease.give_up()

    async def _listen_for_ever(self) -> None:
        waiting = self.engine.waiting
        async for notice in self.parts.wakeups.listen(self.parts.worker_id):
            run_id, _, step = notice.partition(" ")
            if not notice:
                waiting.told_nothing()
            elif notice == CANCEL_NOTICE:
                self.lease.soon()
            elif run_id == PERMIT_NOTICE:
                self.parts.permits.told(notice)
            elif run_id in {COME_NOTICE, SIGNAL_NOTICE}:
                await self.engine.told(step)
            else:
                waiting.told(run_id, step)

    async def _supervised(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run a part for ever: a defect or outage in one round must not end the worker's life."""
        while True:
            try:
                await work()
            except Exception:
                self.parts.log.exception("engine.part_failed", part=name)
            await asyncio.sleep(_RESTART_SECONDS)
