"""Executes runs in the process that accepted them, where no queue is configured."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from control.standstill import Standstill
from envelope.ports.journal_rows import RunState
from envelope.resources import Resources
from worker.backend import Backend
from worker.engine.parts import EngineParts
from worker.engine.service import EngineService


class InProcessRunner:
    """The run engine over a journal in memory: the same flow code, no server, no file.

    Args:
        backend: What `Backend.in_process()` returned.
        resources: What agents ask for with `ctx.resource`.
    """

    def __init__(self, backend: Backend, resources: Resources) -> None:
        self._resources = resources
        self._background: set[asyncio.Task[RunState | None]] = set()
        self._service = EngineService(
            EngineParts(
                settings=backend.settings,
                journal=backend.journal,
                queue=None,
                wakeups=backend.wakeups,
                resources=resources,
                log=backend.log,
                worker_id=backend.worker_id,
                permits=backend.permits,
                rates=backend.rates,
                locks=backend.locks,
                budgets=backend.budgets,
                telemetry=backend.telemetry,
            )
        )
        self._standstill = Standstill(self._service.engine, backend.journal)

    @classmethod
    async def start(cls, backend: Backend, resources: Resources) -> Self:
        """Start the engine on the running loop."""
        runner = cls(backend, resources)
        await runner._service.start()
        return runner

    async def execute(self, run_id: str) -> None:
        """Execute a run to its end, or to where only somebody else can move it.

        From there it goes on in the background: whoever sends the signal or decides on the approval
        may be the very caller who waits here.
        """
        work = asyncio.create_task(self._service.engine.execute(run_id))
        try:
            with self._standstill.of(run_id) as still:
                first: set[asyncio.Future[Any]] = {work, still}
                await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait({work})
            raise
        if work.done():
            work.result()
        else:
            self._leave_in_background(run_id, work)

    async def close(self) -> None:
        """Stop the engine and close the resources."""
        await self._service.stop()
        await self._standstill.close()
        await asyncio.to_thread(self._resources.close)

    def _leave_in_background(self, run_id: str, work: asyncio.Task[RunState | None]) -> None:
        self._service.parts.log.info(
            "run.goes_on",
            run=run_id,
            advice="It waits for a signal, an approval or another run, while this manager is open. "
            "A run that shall outlive it needs a worker: CampaignManager.from_settings().",
        )
        self._background.add(work)
        work.add_done_callback(self._left)

    def _left(self, work: asyncio.Task[RunState | None]) -> None:
        self._background.discard(work)
        error = None if work.cancelled() else work.exception()
        if error is not None:
            self._service.parts.log.error("run.broke_off", exc_info=error)
