"""What keeps losing its worker is executed alone, and only its own death is held against it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from envelope import Envelope, Failure
from envelope.errors import JournalUnavailable
from envelope.ports.journal_rows import Claim, RunState, StepClaim
from tests.rig import flows
from tests.rig.engine_rig import Rig, checked_events, rigged
from tests.rig.flows import CALLS, GATES
from worker.engine.cell import Emit, StepAnswer, StepOrder
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
        self.groups: list[int] = []
        self.killer: str | None = None

    async def run(self, worker_id: str, owner: str, runs: Sequence[tuple[str, int]]) -> int:
        self.groups.append(len(runs))
        self.ran += [(run_id, None) for run_id, _ in runs]
        service = self.rig.worker(worker_id)
        await service.lease.take()
        if self.dies or self.killer in [run_id for run_id, _ in runs]:
            for run_id, _ in runs:
                assert await self.rig.journal.claim(run_id, worker_id, from_owner=owner)
            return -9
        for run_id, epoch in runs:
            await service.engine.execute(run_id, from_owner=owner, from_epoch=epoch)
        return 0

    async def step(self, order: StepOrder, emit: Emit) -> StepAnswer | None:
        self.ran.append((order.run_id, order.step))
        if self.dies:
            return None
        emit("alone", {"attempt": order.attempt})
        made = Envelope.from_records([{"text": order.request}], source="cell")
        return StepAnswer(attempt=order.attempt, envelope=made.to_json())


def _with_cell(rig: Rig, worker: str, *, dies: bool) -> Cell:
    cell = Cell(rig, dies=dies)
    engine = rig.worker(worker).engine
    engine.parts = engine.steps._parts = replace(engine.parts, cell=cell)
    engine._isolation = Isolation(engine.parts)
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
            kinds = checked_events(await rig.events(run_id))
            assert kinds.index("run.isolated") < kinds.index("run.released")
            executors = [each.executor for each in await rig.journal.attempts(run_id)]
            assert executors[0].startswith("isolated-")
            assert set(executors[1:]) == {"b"}, "its first step cleared it: others go on with it"

    asyncio.run(scenario())


def test_the_guilty_one_of_many_suspects_is_found() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            GATES["two"].set()
            cell = _with_cell(rig, "b", dies=False)
            runs = [await rig.accept("three", {"text": "x"}) for _ in range(40)]
            for run_id in runs:
                await _lose_twice(rig, run_id)
            cell.killer = guilty = runs[23]
            await asyncio.gather(*(rig.execute(run_id, "b") for run_id in runs))
            states = {run_id: (await rig.run(run_id)).state for run_id in runs}
            assert states.pop(guilty) is RunState.DEAD
            assert set(states.values()) == {RunState.SUCCEEDED}
            assert cell.groups[-1] == 1, "nobody is condemned in company"
            assert len(cell.groups) < len(runs) / 2

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
            for losses in range(1, 10 * rig.settings.max_losses):
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


@pytest.mark.parametrize("dies", [True, False])
def test_a_step_that_cost_two_workers_is_executed_alone(dies: bool) -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            rig.consumer = "b"
            cell = _with_cell(rig, "b", dies=dies)
            claim_step = rig.journal.claim_step

            async def after_two_losses(
                run_id: str, step: str, executor: str, *, again: bool = False
            ) -> StepClaim | None:
                claim = await claim_step(run_id, step, executor, again=again)
                return claim and replace(claim, step=replace(claim.step, losses=2))

            rig.journal.claim_step = after_two_losses  # type: ignore[method-assign]
            run_id = await rig.accept("remote", {"text": "x"})
            ended = await rig.execute(run_id)
            assert cell.ran == [(run_id, "far")]
            assert not CALLS["x"], "it did not run in the worker"
            kinds = checked_events(await rig.events(run_id))
            if dies:
                assert ended is RunState.DEAD
                assert kinds[-1] == "run.dead"
            else:
                assert ended is RunState.SUCCEEDED
                assert "alone" in kinds

    asyncio.run(scenario())


def test_a_process_that_cannot_start_gives_the_run_back() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            cell = _with_cell(rig, "b", dies=False)

            async def no_process(*_: object) -> int:
                raise OSError("no more processes")

            cell.run = no_process  # type: ignore[method-assign]
            run_id = await rig.accept("three", {"text": "x"})
            await _lose_twice(rig, run_id)
            assert await rig.execute(run_id, "b") is RunState.QUEUED
            assert (await rig.run(run_id)).losses == 2, "it was not the run's doing"

    asyncio.run(scenario())


def test_a_drain_gives_every_suspect_back() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            cell = _with_cell(rig, "b", dies=False)

            async def for_ever(*_: object) -> int:
                await asyncio.Event().wait()
                return 0

            cell.run = for_ever  # type: ignore[method-assign]
            runs = [await rig.accept("three", {"text": "x"}) for _ in range(80)]
            for run_id in runs:
                await _lose_twice(rig, run_id)
            executing = [asyncio.create_task(rig.execute(run_id, "b")) for run_id in runs]

            async def all_owned() -> bool:
                return {(await rig.run(run_id)).owner for run_id in runs} == {"b"}

            await rig.until(all_owned, "every suspect is claimed")
            await rig.worker("b").engine.drain()
            await asyncio.gather(*executing)
            assert {(await rig.run(run_id)).state for run_id in runs} == {RunState.QUEUED}

    asyncio.run(scenario())


def test_a_claim_whose_answer_was_lost_is_made_again() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            GATES["two"].set()
            claim, answers = rig.journal.claim, count()

            async def in_doubt(run_id: str, worker_id: str, **more: Any) -> Claim | None:
                made = await claim(run_id, worker_id, **more)
                if not next(answers):
                    raise JournalUnavailable("the answer was lost")
                return made

            rig.journal.claim = in_doubt  # type: ignore[method-assign]
            run_id = await rig.accept("three", {"text": "x"})
            assert await rig.execute(run_id, "a") is RunState.SUCCEEDED
            assert (await rig.run(run_id)).losses == 0

    asyncio.run(scenario())
