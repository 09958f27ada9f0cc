"""Why a run does not move: every answer, made by the state that it tells of."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from control import AsyncMuster
from control.async_manager import AsyncCampaignManager
from control.async_run import AsyncRun
from control.surroundings import Surroundings
from control.why import why
from envelope.failure import Failure
from envelope.ids import new_id
from envelope.ports.journal_rows import RunState, StepState, Waits
from envelope.ports.journal_writes import Commit, NewEvent, NewRun, RunEnd, StepWrite, WorkerInfo
from envelope.ports.permits import AgentPermits, PermitHolder, PermitWaiter
from envelope.ports.rates import BucketReport
from tests.rig import flows
from tests.unit.test_control_backend import RecordingQueue, backend_over
from worker.backend import Backend
from worker.coordination.locks.in_process import InProcessLocks


class Cluster:
    """A client and what a worker would write."""

    def __init__(self, muster: AsyncMuster, backend: Backend) -> None:
        self.muster = muster
        self.backend = backend

    async def enqueue(self, **fields: Any) -> AsyncRun:
        return await self.muster.enqueue("one", {"text": "x"}, **fields)

    async def worker(self, name: str = "w1", **details: Any) -> None:
        """Announce a worker that lives."""
        said = {"runs": 3, "flows": {"one": [1]}, "agents": ["copy"], **details}
        info = WorkerInfo(worker_id=name, hostname="h", pid=1, details=json.dumps(said))
        await self.backend.journal.beat(info, 30)

    async def claim(self, run: AsyncRun, owner: str = "w1") -> int:
        claim = await self.backend.journal.claim(run.id, owner)
        assert claim is not None
        return claim.run.epoch

    async def suspend(self, run: AsyncRun, waits: Waits) -> None:
        epoch = await self.claim(run)
        end = RunEnd(state=RunState.WAITING, waits=waits)
        await self.backend.journal.commit(Commit(run_id=run.id, epoch=epoch, end=end))

    async def step(self, run: AsyncRun, epoch: int, name: str, **fields: Any) -> None:
        write = StepWrite(step=name, input_sha256="x", input="{}", **fields)
        await self.backend.journal.commit(Commit(run_id=run.id, epoch=epoch, steps=[write]))

    async def why(self, run: AsyncRun) -> str:
        return " ".join(await why(Surroundings.of(self.backend), await run.row()))


@asynccontextmanager
async def cluster(queue: RecordingQueue | None = None) -> AsyncIterator[Cluster]:
    flows.reset()
    backend = backend_over(queue=queue or RecordingQueue())
    async with AsyncMuster(manager=AsyncCampaignManager(backend)) as muster:
        yield Cluster(muster, backend)


def test_an_ended_run_tells_its_failure() -> None:
    async def scenario() -> None:
        async with cluster() as it:
            run = await it.enqueue()
            epoch = await it.claim(run)
            failure = Failure(code="BAD", message="no luck", step="draft", agent="copy")
            end = RunEnd(state=RunState.FAILED, failure=failure.model_dump_json())
            last = NewEvent(type="run.failed")
            await it.backend.journal.commit(
                Commit(run_id=run.id, epoch=epoch, events=[last], end=end)
            )
            assert await it.why(run) == "It is failed: BAD in step 'draft' (copy): no luck"

    asyncio.run(scenario())


def test_a_queued_run_tells_what_is_missing() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        async with cluster(queue) as it:
            late = await it.enqueue(delay=3600)
            assert "not due until" in await it.why(late)
            run = await it.enqueue()
            assert "No worker is alive" in await it.why(run)
            await it.worker(flows={"other": [1]})
            assert "No living worker has flow 'one'; they have other" in await it.why(run)
            await it.worker(flows={"one": [2, 3]})
            told = await it.why(run)
            assert "No living worker has version 1 of flow 'one'; they have 2, 3" in told
            await it.worker()
            told = await it.why(run)
            assert "Its message was sent 0." in told
            assert "messages in queue runs.one: 1" in told
            assert "runs that they hold: 3" in told
            queue.away = True
            assert "Redis does not answer" in await it.why(run)
            unsent = await it.enqueue()
            assert "No message was sent for it yet" in await it.why(unsent)

    asyncio.run(scenario())


def test_a_waiting_run_tells_for_what() -> None:
    async def scenario() -> None:
        async with cluster() as it:
            child = await it.enqueue()
            run = await it.enqueue()
            until = time.time() + 3600
            waits = Waits(until=until, signals={"go": 0}, children=[child.id])
            await it.suspend(run, waits)
            told = await it.why(run)
            assert "for 60 min more" in told
            assert f"It waits for signal 'go': muster runs signal {run.id} go" in told
            assert f"child run {child.id} of flow 'one', which is queued" in told
            assert "No worker is alive to wake it" in told
            await it.worker()
            assert "No worker" not in await it.why(run)

    asyncio.run(scenario())


async def singleton(it: Cluster, **fields: Any) -> AsyncRun:
    new = NewRun(
        run_id=new_id(),
        flow="one",
        version=1,
        payload="{}",
        payload_sha256="x",
        source="test",
        singleton="default/run:u",
        **fields,
    )
    await it.backend.journal.accept(new)
    return await it.muster.get(new.run_id)


def test_a_run_in_line_tells_behind_which_and_how_many_come_first() -> None:
    async def scenario() -> None:
        async with cluster() as it:
            first = await singleton(it)
            second = await singleton(it)
            third = await singleton(it)
            urgent = await singleton(it, priority=5)
            behind = f"behind run {first.id}, which is queued"
            assert behind in await it.why(urgent)
            assert "in line" not in await it.why(urgent)
            assert "1 in line before it" in await it.why(second)
            assert "2 in line before it" in await it.why(third)
            await it.claim(first)
            assert f"behind run {first.id}, which is running" in await it.why(third)

    asyncio.run(scenario())


def test_a_running_run_tells_its_worker_and_its_steps() -> None:
    async def scenario() -> None:
        async with cluster() as it:
            await it.worker()
            run = await it.enqueue()
            epoch = await it.claim(run)
            told = await it.why(run)
            assert "Worker w1 executes it; its lease runs for" in told
            assert "No step is in flight" in told
            await it.step(run, epoch, "queued", agent="copy", state=StepState.QUEUED, inline=False)
            await it.step(run, epoch, "far", agent="rare", state=StepState.QUEUED, inline=False)
            running = {"agent": "copy", "state": StepState.RUNNING, "executor": "w2", "attempt": 2}
            await it.step(run, epoch, "busy", **running)
            told = await it.why(run)
            assert "Step 'queued' (copy) waits in queue agent.copy" in told
            assert "waits in queue agent.rare, but no living worker has that agent" in told
            assert "Step 'busy' (copy) runs on w2" in told
            assert "attempt 2" in told

    asyncio.run(scenario())


def test_a_run_whose_worker_is_gone_says_who_takes_over() -> None:
    async def scenario() -> None:
        async with cluster() as it:
            run = await it.enqueue()
            await it.claim(run, "dead-one")
            assert "Its worker dead-one is gone and no other is alive" in await it.why(run)
            await it.worker()
            assert "another one takes the run over" in await it.why(run)

    asyncio.run(scenario())


class ToldPermits:
    """Permits and rates that report what a test says."""

    def __init__(self, reports: Sequence[Any]) -> None:
        self._reports = reports

    async def report(self) -> Sequence[Any]:
        return self._reports

    async def close(self) -> None:
        pass


def holder(number: int) -> PermitHolder:
    return PermitHolder(run_id=f"r{number}", step="s", tenant="t", worker="w9", since=time.time())


def test_a_step_that_waits_for_a_permit_tells_its_place_and_who_holds() -> None:
    async def scenario() -> None:
        async with cluster() as it:
            await it.worker()
            run = await it.enqueue()
            epoch = await it.claim(run)
            await it.step(run, epoch, "draft", agent="copy", state=StepState.QUEUED, inline=False)
            waiter = PermitWaiter(
                run_id=run.id, step="draft", tenant="t", priority=0, worker="w1", since=0, place=2
            )
            copy = AgentPermits(
                agent="copy",
                limit=4,
                holders=[holder(n) for n in range(4)],
                waiters=[waiter],
                why="full",
            )
            it.backend.permits = ToldPermits([copy])  # type: ignore[assignment]
            told = await it.why(run)
            assert "Step 'draft' waits for a permit of agent 'copy': place 2 of 1" in told
            assert "4 of 4 are held, by run r0 step 's', run r1 step 's'" in told
            assert "and 1 more" in told
            assert "waits in queue" not in told

    asyncio.run(scenario())


def test_a_rate_limit_and_a_lock_are_told() -> None:
    async def scenario() -> None:
        async with cluster() as it:
            await it.worker()
            run = await singleton(it)
            epoch = await it.claim(run)
            await it.step(run, epoch, "draft", agent="copy", state=StepState.RUNNING, executor="w1")
            bucket = BucketReport(key="agent:copy", level=-4, rate=None, paused_seconds=0)
            it.backend.rates = ToldPermits([bucket])  # type: ignore[assignment]
            assert "Agent 'copy' is at its rate limit; 4 are promised" in await it.why(run)
            paused = BucketReport(key="agent:copy", level=0, rate=None, paused_seconds=12)
            it.backend.rates = ToldPermits([paused])  # type: ignore[assignment]
            assert "Agent 'copy' is paused for 12 s" in await it.why(run)
            await it.backend.locks.acquire("default/run:u", owner="someone", why="nightly import")
            told = await it.why(run)
            assert "It waits for lock 'default/run:u'" in told
            assert "nightly import" in told
            await it.backend.locks.release("default/run:u", "someone")
            await it.backend.locks.acquire("default/run:u", owner=run.id)
            assert "waits for lock" not in await it.why(run)

    asyncio.run(scenario())


def test_many_steps_in_flight_are_not_all_told() -> None:
    async def scenario() -> None:
        async with cluster() as it:
            await it.worker()
            run = await it.enqueue()
            epoch = await it.claim(run)
            for number in range(8):
                await it.step(
                    run, epoch, f"s{number}", agent="copy", state=StepState.QUEUED, inline=False
                )
            told = await it.why(run)
            assert "'s4'" in told
            assert "'s5'" not in told
            assert "And 3 more like that." in told

    asyncio.run(scenario())


def test_without_redis_the_journal_still_answers() -> None:
    async def scenario() -> None:
        async with cluster() as it:
            await it.worker()
            run = await it.enqueue()
            await it.claim(run)
            journal_only = Surroundings(journal=it.backend.journal, locks=InProcessLocks())
            told = " ".join(await why(journal_only, await run.row()))
            assert "Worker w1 executes it" in told
            assert "Redis does not answer" in told

    asyncio.run(scenario())


def test_a_run_that_is_asked_to_stop_says_so() -> None:
    async def scenario() -> None:
        async with cluster() as it:
            await it.worker()
            run = await it.enqueue()
            await it.claim(run)
            await run.cancel("enough")
            assert "It was asked to stop (enough)" in await it.why(run)

    asyncio.run(scenario())


@pytest.mark.parametrize("details", ["{}", '{"flows": {}, "agents": []}'])
def test_a_worker_that_announces_little_is_understood(details: str) -> None:
    async def scenario() -> None:
        async with cluster() as it:
            info = WorkerInfo(worker_id="old", hostname="h", pid=1, details=details)
            await it.backend.journal.beat(info, 30)
            assert "No living worker has flow 'one'; they have none" in await it.why(
                await it.enqueue()
            )

    asyncio.run(scenario())
