"""Several engines over one journal in one process: workers that can be lost without a process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from envelope.canonical import canonical_json, sha256_hex
from envelope.errors import QueueUnavailable
from envelope.ids import new_id
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import (
    TERMINAL_STATES,
    Event,
    Hint,
    Run,
    RunState,
    Step,
)
from envelope.ports.journal_writes import NewRun
from envelope.resources import Resources
from orchestrators.registry import FLOWS
from worker.coordination.budgets.in_process import InProcessBudgets
from worker.coordination.locks.in_process import InProcessLocks
from worker.coordination.permits.in_process import InProcessPermits
from worker.engine.parts import EngineParts
from worker.engine.service import EngineService
from worker.journal.memory import MemoryJournal
from worker.queue.in_process import InProcessQueue
from worker.settings import Settings
from worker.telemetry.telemetry import Telemetry
from worker.wakeups.in_process import InProcessWakeups

DEADLINE_SECONDS = 10.0


class FakeTime:
    """The journal's clock, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class LossyQueue(InProcessQueue):
    """A broker that can be told to lose messages, or to be away."""

    def __init__(self, handler: Callable[[Hint], Awaitable[object]]) -> None:
        super().__init__(handler)
        self.losing = False
        self.away = False
        self.sent: list[Hint] = []

    async def enqueue(self, hints: Any) -> None:
        if self.away:
            raise QueueUnavailable("Redis does not answer.")
        self.sent.extend(hints)
        if not self.losing:
            await super().enqueue(hints)


class Rig:
    """Workers `a`, `b`, … over one journal; hints go to the worker that `consumer` names."""

    def __init__(
        self, journal: Journal, time: FakeTime, telemetry: Telemetry | None = None
    ) -> None:
        self.telemetry = telemetry or Telemetry()
        self.journal = journal
        self.time = time
        self.wakeups = InProcessWakeups()
        self.queue = LossyQueue(self._handle)
        self.permits = InProcessPermits()
        self.locks = InProcessLocks()
        self.budgets = InProcessBudgets(journal.spent)
        self.workers: dict[str, EngineService] = {}
        self.consumer = "a"
        self.settings = Settings(lease_seconds=10, heartbeat_seconds=2, reissue_seconds=3)

    def worker(self, name: str = "a") -> EngineService:
        """Return the worker of that name, made at the first call; it does not beat by itself."""
        if name not in self.workers:
            parts = EngineParts(
                settings=self.settings,
                journal=self.journal,
                queue=self.queue,
                wakeups=self.wakeups,
                resources=Resources(),
                log=structlog.get_logger("muster.test"),
                worker_id=name,
                suspend_after_seconds=0.02,
                permits=self.permits,
                locks=self.locks,
                budgets=self.budgets,
                telemetry=self.telemetry,
            )
            self.workers[name] = EngineService(parts)
        return self.workers[name]

    async def accept(self, flow: str, payload: Mapping[str, Any], **more: Any) -> str:
        text = canonical_json(payload)
        facts = {"run_id": new_id(), "version": FLOWS.get(flow).version, **more}
        new = NewRun(
            flow=flow,
            payload=text,
            payload_sha256=sha256_hex(text),
            source="test",
            **facts,
        )
        return (await self.journal.accept(new)).run_id

    async def execute(self, run_id: str, worker: str = "a") -> RunState | None:
        """Execute a run on a worker, as its message would."""
        service = self.worker(worker)
        await service.lease.take()
        return await service.engine.execute(run_id)

    async def finish(self, flow: str, payload: Mapping[str, Any], **more: Any) -> Run:
        """Accept and execute a run; return it as the journal has it."""
        run_id = await self.accept(flow, payload, **more)
        await self.execute(run_id)
        return await self.run(run_id)

    async def run(self, run_id: str) -> Run:
        run = await self.journal.run(run_id)
        assert run is not None
        return run

    async def steps(self, run_id: str) -> dict[str, Step]:
        return {step.step: step for step in await self.journal.steps(run_id)}

    async def events(self, run_id: str) -> list[Event]:
        return list(await self.journal.events(run_id))

    async def lose(self, worker: str) -> None:
        """Let a worker's lease lapse, and have the living ones find it."""
        for _ in range(3):
            self.time.advance(self.settings.lease_seconds / 2)
            for name, service in self.workers.items():
                if name != worker:
                    await service.lease.take()

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        """Wait for a condition."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                while not await holds():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"never happened: {what}") from None

    async def until_ended(self, run_id: str) -> Run:
        """Wait for a run's end, while a worker looks every second for what was missed."""

        async def ended() -> bool:
            return (await self.run(run_id)).state in TERMINAL_STATES

        care = asyncio.create_task(self.worker(self.consumer).reconciler.work_for_ever())
        try:
            await self.until(ended, f"run {run_id} ended")
        finally:
            care.cancel()
            await asyncio.gather(care, return_exceptions=True)
        return await self.run(run_id)

    async def close(self) -> None:
        await self.queue.close()

    async def _handle(self, hint: Hint) -> None:
        engine = self.worker(self.consumer).engine
        if hint.step is None:
            await engine.execute(hint.run_id)
        else:
            await engine.steps.execute(hint.run_id, hint.step)


@asynccontextmanager
async def rigged(
    journal: Journal | None = None, telemetry: Telemetry | None = None
) -> AsyncIterator[Rig]:
    """A rig whose queued steps are delivered; closed at the end."""
    time = FakeTime()
    rig = Rig(journal or MemoryJournal(clock=time), time, telemetry)
    delivering: list[asyncio.Task[None]] = []
    for name in "ab":
        service = rig.worker(name)
        await service.lease.take()
        delivering.append(asyncio.create_task(service.engine.waiting.deliver_for_ever()))
        delivering.append(asyncio.create_task(service._listen_for_ever()))
    try:
        yield rig
    finally:
        for task in delivering:
            task.cancel()
        await asyncio.gather(*delivering, return_exceptions=True)
        await rig.close()


def checked_events(events: list[Event]) -> list[str]:
    """Return the events' types, having seen that numbers have no gap and the end is last."""
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    kinds = [event.type for event in events]
    ends = {"run.succeeded", "run.failed", "run.cancelled", "run.dead"}
    assert [kind for kind in kinds if kind in ends] == kinds[-1:]
    for event in events:
        assert isinstance(json.loads(event.data), dict)
    return kinds
