"""Two workers over one journal in this process, in real time: enough for most planted bugs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from envelope.canonical import canonical_json, sha256_hex
from envelope.ids import new_id
from envelope.ports.journal_rows import TERMINAL_STATES, Hint, RunFilter
from envelope.ports.journal_writes import NewRun
from envelope.ports.ledger import EffectFilter
from orchestrators.registry import FLOWS
from tests.rig.faults.facts import Facts, facts_of_run
from tests.rig.faults.history import History
from tests.rig.faults.log_lines import LogLines
from tests.rig.faults.rig import LIMITS
from worker.coordination.permits.in_process import InProcessPermits
from worker.coordination.permits.office import Office
from worker.engine.parts import EngineParts
from worker.engine.service import EngineService
from worker.journal.memory import MemoryJournal
from worker.queue.in_process import InProcessQueue
from worker.resources import resources_of
from worker.settings import Settings
from worker.wakeups.in_process import InProcessWakeups

LEASE, HEARTBEAT = 0.3, 0.1
PIDS = (1001, 1002)

_DEADLINE_SECONDS = 15.0
_STOP_SECONDS = 5.0
_MOST = 1_000


class Pair:
    """Workers that can be frozen; the first one gets all messages while it lives.

    Args:
        folder: Where the history is kept.
        more: Further settings of the workers.

    Attributes:
        history: Of agents, faults and client.
        journal, queue: What both share.
        steps_arrive: Cleared, it holds back the messages of queued steps.
        workers: The two.
    """

    def __init__(self, folder: Path, **more: Any) -> None:
        self._settings = Settings(lease_seconds=LEASE, heartbeat_seconds=HEARTBEAT, **more)
        self.history = History(folder / "history.jsonl")
        self.log = LogLines()
        self.journal = MemoryJournal()
        self.queue = InProcessQueue(self._handle)
        self.consumer = 0
        self._wakeups = InProcessWakeups()
        self._office = Office()
        self.steps_arrive = asyncio.Event()
        self.steps_arrive.set()
        self.workers = [self._worker(pid) for pid in PIDS]

    async def accept(
        self, flow: str, plan: Mapping[str, Any], *, allow_delivery: bool = False, **told: Any
    ) -> str:
        """Accept a run and send its message."""
        text = canonical_json(plan)
        new = NewRun(
            run_id=new_id(),
            flow=flow,
            version=1,
            payload=text,
            payload_sha256=sha256_hex(text),
            source="rig",
            allow_delivery=allow_delivery,
        )
        accepted = await self.journal.accept(new)
        facts = {"key": None, "numbers": None, "expect": ["succeeded"], **told}
        facts |= {"allow_delivery": allow_delivery}
        self.history.write("accepted", run=accepted.run_id, flow=flow, **facts)
        await self.queue.enqueue([Hint(run_id=accepted.run_id, flow=flow, priority=0)])
        return accepted.run_id

    async def freeze(self, number: int) -> None:
        """Stop a worker's heart; what it executes goes on, as if it had just woken."""
        self.history.write("fault.begin", fault=number, kind="freeze", pids=[PIDS[number]])
        self.consumer = 1 - number
        for task in self.workers[number]._tasks:
            task.cancel()

    async def thaw(self, number: int) -> None:
        """Let a frozen worker's heart beat again."""
        await self.workers[number].start()

    async def until(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                while not await holds():
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"never happened: {what}") from None

    async def until_started(self, run_id: str, step: str, times: int = 1) -> None:
        await self._until_told("start", run_id, step, times)

    async def until_ended(self, run_id: str, step: str, times: int = 1) -> None:
        await self._until_told("end", run_id, step, times)

    async def until_quiet(self) -> None:
        """Wait until every run has ended and no worker executes anything, zombies included."""

        async def quiet() -> bool:
            runs = await self.journal.runs(RunFilter(limit=_MOST))
            busy = any(worker.engine.running for worker in self.workers)
            return not busy and all(run.state in TERMINAL_STATES for run in runs)

        await self.until(quiet, "all is quiet")

    async def facts(self) -> Facts:
        """Read what happened, for the checker."""
        runs = await self.journal.runs(RunFilter(limit=_MOST))
        known = {run.run_id: await self.journal.events(run.run_id) for run in runs}
        return Facts(
            self.history.lines(),
            {run.run_id: facts_of_run(run, known[run.run_id]) for run in runs},
            [{**line, "host": 0} for line in self.log.lines],
            await self.journal.effects(EffectFilter(limit=_MOST)),
            limits=LIMITS,
            lease=LEASE,
            heartbeat=HEARTBEAT,
        )

    async def _until_told(self, what: str, run_id: str, step: str, times: int) -> None:
        wanted = (what, run_id, step)

        async def told() -> bool:
            lines = [line for line in self.history.lines() if "step" in line]
            found = [(line["what"], line["run"], line["step"]) for line in lines]
            return found.count(wanted) >= times

        await self.until(told, f"{what} of {step} of {run_id}")

    def _worker(self, pid: int) -> EngineService:
        name = f"host-{pid}-0123abcd"
        return EngineService(
            EngineParts(
                settings=self._settings,
                journal=self.journal,
                queue=self.queue,
                wakeups=self._wakeups,
                resources=resources_of(self._settings),
                log=self.log.bind(worker=name),
                worker_id=name,
                permits=InProcessPermits(self._office, name),
            )
        )

    async def _handle(self, hint: Hint) -> None:
        engine = self.workers[self.consumer].engine
        if hint.step is None:
            await engine.execute(hint.run_id)
        else:
            await self.steps_arrive.wait()
            await engine.steps.execute(hint.run_id, hint.step)


@asynccontextmanager
async def paired(folder: Path, **more: Any) -> AsyncIterator[Pair]:
    """Two workers at work; stopped at the end. `more` are settings of theirs."""
    assert "rig-chain" in FLOWS.names(), "import tests.rig.faults.flows first"
    pair = Pair(folder, **more)
    for worker in pair.workers:
        await worker.start()
    try:
        yield pair
    finally:
        await pair.queue.close()
        for worker in pair.workers:
            async with asyncio.timeout(_STOP_SECONDS):
                await worker.stop()
