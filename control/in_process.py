"""Executes runs in the process that accepted them, where no queue is configured."""

from __future__ import annotations

import asyncio
from typing import Self

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

    @classmethod
    async def start(cls, backend: Backend, resources: Resources) -> Self:
        """Start the engine on the running loop."""
        runner = cls(backend, resources)
        await runner._service.start()
        return runner

    async def execute(self, run_id: str) -> RunState | None:
        """Execute a run to its end."""
        return await self._service.engine.execute(run_id)

    async def close(self) -> None:
        """Stop the engine and close the resources."""
        await self._service.stop()
        await asyncio.to_thread(self._resources.close)
