"""The composition root of a worker process: settings in, a running engine out."""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import structlog

from agents.registry import AGENTS
from envelope.errors import JournalUnavailable
from envelope.ports.shared import SharedStore
from envelope.resources import Resources
from worker.backend import Backend
from worker.delivery.deciding import leave_decisions_to_others
from worker.engine.admission import Admission
from worker.engine.cell import Cell, SubprocessCell
from worker.engine.parts import EngineParts
from worker.engine.service import EngineService
from worker.quarantine.journal_sink import JournalSink
from worker.resources import resources_of
from worker.settings import Settings
from worker.telemetry.meters import Meters
from worker.telemetry.telemetry import Telemetry
from worker.telemetry.tracing import tracer_of

if TYPE_CHECKING:
    from worker.app import MusterCelery

_AGAIN_SECONDS = 1.0
_SPARE_THREADS = 32
_YOUNG_OBJECTS = 50_000
"""Containers made and not yet freed after which cycles are looked for; some 10 MB."""


class WorkerProcess:
    """The engine of this process, started once, when it is first needed, on the process's loop.

    Args:
        app: The Celery app.
        settings: The settings.
        worker_id: The name that the journal knows this process by; made up where None.
        cell: Where runs close to death are executed.

    Attributes:
        meters: Count what the engine does; to be replaced before it starts.
    """

    def __init__(
        self,
        app: MusterCelery,
        settings: Settings,
        *,
        worker_id: str | None = None,
        cell: Cell | None = None,
    ) -> None:
        self._app = app
        self._settings = settings
        self._worker_id = worker_id
        self._cell = cell
        self._starting: asyncio.Task[EngineService] | None = None
        self._backend: Backend | None = None
        self._consumed: tuple[str, ...] = ()
        self.meters = Meters()
        self._resources: Resources | None = None
        self.admission = Admission(
            settings.max_runs, on_full=self._pause_topics, on_room=self._resume_topics
        )
        self._log: Any = structlog.get_logger("muster")

    async def service(self) -> EngineService:
        """Return the running engine; waits while the journal is away."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)

    def trouble(self) -> str | None:
        """Say what is wrong with the engine; None where nothing is, or where there is none."""
        if self._starting is None:
            return None
        if not self._starting.done():
            return "The engine is starting; it waits for the journal."
        if self._starting.cancelled() or self._starting.exception() is not None:
            return "The engine did not start; the worker's log says why."
        lapsed = self._starting.result().parts.hold.over
        return (
            "The lease has lapsed: the journal is away, or the loop is stuck." if lapsed else None
        )

    async def drain(self) -> None:
        """Give all runs back, at their next step boundary."""
        if self._starting is not None and self._starting.done():
            await self._starting.result().engine.drain()

    async def stop(self) -> None:
        """End in order: nothing is left owned, nothing submitted is left unwritten."""
        if self._starting is None:
            return
        if self._starting.done():
            await self._starting.result().stop()
        else:
            self._starting.cancel()
        if self._backend is not None:
            await self._backend.close()
        if self._resources is not None:
            await asyncio.to_thread(self._resources.close)
        self._starting = None

    async def _start(self) -> EngineService:
        leave_decisions_to_others()
        self._provide_threads()
        self._consumed = tuple(self._app.amqp.queues.consume_from)
        backend = self._backend = await self._connected()
        self._app.quarantine.sink = JournalSink(backend.journal, asyncio.get_running_loop())
        resources = self._resources = resources_of(
            self._settings, backend.rates, backend.telemetry.model
        )
        resources.provide(SharedStore, lambda: backend.shared)  # type: ignore[type-abstract] # a port is provided under its Protocol
        service = EngineService(
            EngineParts(
                settings=self._settings,
                journal=backend.journal,
                queue=backend.queue,
                wakeups=backend.wakeups,
                resources=resources,
                log=self._log.bind(),  # assembled once: the lazy one is assembled at each use
                cell=self._cell,
                steps_here=self._steps_here(),
                worker_id=backend.worker_id,
                permits=backend.permits,
                rates=backend.rates,
                locks=backend.locks,
                budgets=backend.budgets,
                telemetry=backend.telemetry,
            )
        )
        await service.start()
        spare_collections()
        self._log.info("worker.started", worker=service.parts.worker_id)
        return service

    def _provide_threads(self) -> None:
        """A thread for each `def` agent that a slot allows; asyncio's own few would queue them."""
        threads = ThreadPoolExecutor(self._settings.concurrency + _SPARE_THREADS, "muster-thread")
        asyncio.get_running_loop().set_default_executor(threads)

    async def _connected(self) -> Backend:
        # Made here: its thread would not survive the fork of a pool's child.
        telemetry = Telemetry(self.meters, tracer_of(self._settings))
        while True:
            try:
                return await Backend.open(
                    self._settings,
                    self._app,
                    worker_id=self._worker_id,
                    telemetry=telemetry,
                )
            except JournalUnavailable as error:
                self._log.error("worker.waits_for_journal", error=str(error))
            await asyncio.sleep(_AGAIN_SECONDS)

    def _pause_topics(self) -> None:
        if self._app.intake is not None:
            self._app.intake.pause(self._topics())

    def _resume_topics(self) -> None:
        if self._app.intake is not None and not self._app.drain.announced:
            self._app.intake.resume(self._topics())

    def _topics(self) -> list[str]:
        return [name for name in self._consumed if name.startswith("runs.")]

    def _steps_here(self) -> frozenset[str]:
        """Under other pools than ours a run holds the slot that its own step would need."""
        if self._app.holds_many_runs:
            return frozenset()
        return frozenset(name for name in AGENTS.names() if f"agent.{name}" in self._consumed)


def spare_collections() -> None:
    """Let garbage collections pass over what stays, and come seldom.

    A full collection stops all runs of the process: 125 ms, for some 150,000 objects of code and
    tables. And a step makes hundreds of objects which nearly all go by themselves: looking for
    cycles after each 700 of them took an eighth of an inline step's time, this a thirtieth.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


def isolating(app: MusterCelery, settings: Settings) -> WorkerProcess:
    """Return the process of a worker, which isolates what keeps killing workers."""
    return WorkerProcess(app, settings, cell=SubprocessCell())
