"""What keeps losing its worker is executed alone, and only its own death is held against it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from envelope import Failure
from envelope.ports.journal import RunState
from tests.rig import flows
from tests.rig.engine_rig import Rig, checked_events, rigged
from tests.rig.flows import CALLS, GATES
from worker.engine.isolation import Isolation


@pytest.fixture(autouse=True)
def fresh() -> None:
    flows.reset()


class Cell:
    """Stands for a process: executes as a worker of its own, or dies after the claim."""

    def __init__(self, rig: Rig, *, dies: bool) -> None:
        self.rig = rig
        self.dies = dies
        self.ran: list[tuple[str, str | None]] = []

    async def run(self, worker_id: str, run_id: str, step: str | None) -> int:
        self.ran.append((run_id, step))
        service = self.rig.worker(worker_id)
        await service.lease.take()
        if self.dies and step is None:
            assert await self.rig.journal.claim(run_id, worker_id)
            return -9
        if self.dies:
            assert await self.rig.journal.claim_step(run_id, step or "", worker_id)
            return -9
        if step is None:
            await service.engine.execute(run_id)
        else:
            await service.engine.steps.execute(run_id, step)
        return 0


def _with_cell(rig: Rig, worker: str, *, dies: bool) -> Cell:
    cell = Cell(rig, dies=dies)
    engine = rig.worker(worker).engine
    engine.isolation = Isolation(rig.journal, rig.wakeups, rig.settings.max_losses, cell)
    engine.steps._isolation = engine.isolation
    return cell


async def _lose_twice(rig: Rig, run_id: str) -> None:
    for _ in range(2):
        assert await rig.journal.claim(run_id, "a")
        await rig.lose("a")
        await rig.journal.rescue(rig.settings.max_losses)
        await rig.worker("a").lease.take()


def test_an_innocent_run_survives_its_isolation() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            GATES["two"].set()
            cell = _with_cell(rig, "b", dies=False)
            run_id = await rig.accept("three", {"text": "x"})
            await _lose_twice(rig, run_id)
            await rig.execute(run_id, "b")
            assert cell.ran == [(run_id, None)]
            run = await rig.run(run_id)
            assert (run.state, run.losses) == (RunState.SUCCEEDED, 0)
            assert "run.isolated" in checked_events(await rig.events(run_id))

    asyncio.run(scenario())


def test_a_poison_run_is_dead_after_its_third_loss() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            _with_cell(rig, "b", dies=True)
            run_id = await rig.accept("three", {"text": "x"})
            await _lose_twice(rig, run_id)
            assert await rig.execute(run_id, "b") is RunState.DEAD
            run = await rig.run(run_id)
            assert (run.state, run.losses) == (RunState.DEAD, 3)
            assert Failure.model_validate_json(run.failure or "").code == "LOST_TOO_OFTEN"
            assert checked_events(await rig.events(run_id))[-1] == "run.dead"
            assert not CALLS

    asyncio.run(scenario())


def test_losses_that_may_be_another_s_fault_do_not_kill_a_run_at_once() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            run_id = await rig.accept("three", {"text": "x"})
            for losses in range(1, 9):
                assert await rig.journal.claim(run_id, "a")
                await rig.lose("a")
                (rescue,) = await rig.journal.rescue(3)
                assert (rescue.losses, rescue.state) == (losses, RunState.QUEUED)
                await rig.worker("a").lease.take()
            assert await rig.journal.claim(run_id, "a")
            await rig.lose("a")
            (rescue,) = await rig.journal.rescue(3)
            assert rescue.state is RunState.DEAD

    asyncio.run(scenario())


def test_a_poison_step_makes_its_run_dead() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            rig.consumer = "b"
            cell = _with_cell(rig, "b", dies=True)
            claim_step = rig.journal.claim_step

            async def after_two_losses(run_id: str, step: str, executor: str):  # type: ignore[no-untyped-def]
                claim = await claim_step(run_id, step, executor)
                return claim and replace(claim, step=replace(claim.step, losses=2))

            rig.worker("b").engine.steps._parts.journal.claim_step = after_two_losses  # type: ignore[method-assign]
            run_id = await rig.accept("remote", {"text": "x"})
            assert await rig.execute(run_id) is RunState.DEAD
            assert cell.ran == [(run_id, "far")]
            attempts = await rig.journal.attempts(run_id)
            assert attempts[-1].outcome == "lost"
            assert checked_events(await rig.events(run_id))[-1] == "run.dead"

    asyncio.run(scenario())
