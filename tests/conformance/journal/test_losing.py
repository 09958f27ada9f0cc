import asyncio
import json

import pytest

from envelope.errors import Fenced
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import (
    Beat,
    Claim,
    Hint,
    Run,
    RunState,
    StepState,
)
from tests.conformance.journal.making import (
    Backend,
    a_step,
    a_worker,
    accepted,
    an_event,
    check_log,
    claimed,
    ending,
    lapse,
    queued_step,
    types,
    write_of,
)
from worker.journal.losing import FOREIGN_FAULTS


def test_a_worker_beats_and_is_listed_with_the_rest_of_its_lease(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        assert await journal.beat(a_worker("w1", details='{"q": 1}', pid=7), 30) == Beat()
        (row,) = await journal.workers()
        assert (row.worker_id, row.hostname, row.pid, row.details) == ("w1", "host", 7, '{"q": 1}')
        assert 25 < row.expires_in <= 30.01
        await journal.beat(a_worker("w1", details="{}"), 60)
        (again,) = await journal.workers()
        assert (again.started_at, again.details) == (row.started_at, "{}")
        assert 55 < again.expires_in <= 60.01
        await journal.beat(a_worker("w0"), 0)
        first, second = await journal.workers()
        assert (first.worker_id, second.worker_id) == ("w0", "w1")
        assert first.expires_in <= 0
        await journal.retire("w1")
        await journal.retire("unknown")
        assert [row.worker_id for row in await journal.workers()] == ["w0"]

    backend.using(body)


def test_a_lost_run_is_queued_again(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal, "w1", priority=3)
        await journal.mark_sent([claim.run.run_id])
        assert list(await journal.rescue(3)) == []
        await lapse(journal, "w1")
        (rescue,) = await journal.rescue(3)
        assert rescue.hint == Hint(run_id=claim.run.run_id, flow="lead", priority=3)
        assert (rescue.state, rescue.losses) == (RunState.QUEUED, 1)
        run = await _run(journal, claim)
        assert (run.state, run.owner, run.epoch, run.losses) == (RunState.QUEUED, None, 2, 1)
        assert run.sent_at is None
        assert (await types(journal, run.run_id))[-1] == "run.lost"
        lost = json.loads((await journal.events(run.run_id))[-1].data)
        assert lost == {"worker": "w1", "losses": 1}
        assert list(await journal.rescue(3)) == []
        with pytest.raises(Fenced):
            await journal.commit(write_of(claim, **ending()))

    backend.using(body)


def test_a_retired_worker_leaves_its_runs_to_be_rescued(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal, "w1")
        await journal.retire("w1")
        assert [rescue.hint.run_id for rescue in await journal.rescue(3)] == [claim.run.run_id]

    backend.using(body)


def test_only_running_runs_of_the_lost_are_rescued(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        await claimed(journal, "alive")
        await accepted(journal)
        done = await claimed(journal, "lost")
        await journal.commit(write_of(done, **ending()))
        lost = [await claimed(journal, "lost") for _ in range(3)]
        await lapse(journal, "lost")
        rescued = await journal.rescue(3)
        assert [rescue.hint.run_id for rescue in rescued] == [c.run.run_id for c in lost]

    backend.using(body)


def test_many_lost_runs_are_rescued_once_by_several_reconcilers(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        await journal.beat(a_worker("w1"), 60)
        ids = [await accepted(journal) for _ in range(60)]
        await asyncio.gather(*(journal.claim(run_id, "w1") for run_id in ids))
        await lapse(journal, "w1")
        results = await asyncio.gather(*(journal.rescue(3) for _ in range(5)))
        rescued = [rescue.hint.run_id for part in results for rescue in part]
        assert sorted(rescued) == sorted(ids)

    backend.using(body)


def test_a_run_lost_too_often_is_dead_with_its_trace(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        run_id = await accepted(journal)
        for loss in range(1, 2 * FOREIGN_FAULTS + 1):
            await journal.beat(a_worker("w1"), 60)
            claim = await journal.claim(run_id, "w1")
            assert claim is not None
            await journal.commit(write_of(claim, steps=[a_step("poison", StepState.RUNNING)]))
            await lapse(journal, "w1")
            (rescue,) = await journal.rescue(2)
            expected = RunState.DEAD if loss == 2 * FOREIGN_FAULTS else RunState.QUEUED
            assert (rescue.state, rescue.losses) == (expected, loss)
        run = await journal.run(run_id)
        assert run is not None
        assert (run.state, run.owner, run.losses) == (RunState.DEAD, None, 2 * FOREIGN_FAULTS)
        assert run.finished_at is not None
        assert json.loads(run.failure or "")["code"] == "LOST_TOO_OFTEN"
        assert "poison" in (run.trace or "")
        assert "w1" in (run.trace or "")
        log = await types(journal, run_id)
        assert log[-2:] == ["run.lost", "run.dead"]
        check_log(log, ended=True)
        assert list(await journal.rescue(2)) == []
        assert await journal.claim(run_id, "w1") is None

    backend.using(body)


def test_progress_forgives_earlier_losses(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        run_id = await accepted(journal)
        for number in range(8):
            await journal.beat(a_worker("w1"), 60)
            claim = await journal.claim(run_id, "w1")
            assert claim is not None
            await journal.commit(write_of(claim, steps=[a_step(f"s{number}")]))
            await lapse(journal, "w1")
            (rescue,) = await journal.rescue(1)
            assert (rescue.state, rescue.losses) == (RunState.QUEUED, 1)

    backend.using(body)


def test_a_run_to_blame_is_dead_at_the_limit_itself(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        run_id = await accepted(journal)
        for loss in range(1, 4):
            await journal.beat(a_worker("w1"), 60)
            claim = await journal.claim(run_id, "w1")
            assert claim is not None
            assert await journal.blame(run_id, "w2", 3) is None
            rescue = await journal.blame(run_id, "w1", 3)
            assert rescue is not None
            assert rescue.losses == loss
            assert rescue.state is (RunState.DEAD if loss == 3 else RunState.QUEUED)
            assert await journal.blame(run_id, "w1", 3) is None
            with pytest.raises(Fenced):
                await journal.commit(write_of(claim, events=[an_event()]))
        log = await types(journal, run_id)
        assert log[-2:] == ["run.lost", "run.dead"]
        check_log(log, ended=True)
        assert await journal.blame("unknown", "w1", 3) is None

    backend.using(body)


def test_a_step_whose_executor_is_lost_is_queued_again(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        run_id, name = claim.run.run_id, (claim.run.run_id, "draft")
        assert list(await journal.rescue_steps([name], 3)) == []
        await journal.beat(a_worker("e1"), 60)
        await journal.claim_step(run_id, "draft", "e1")
        assert list(await journal.rescue_steps([name, (run_id, "x"), ("x", "y")], 3)) == []
        await lapse(journal, "e1")
        (step,) = await journal.rescue_steps([name, name], 3)
        assert (step.state, step.losses, step.executor) == (StepState.QUEUED, 1, None)
        assert step.input == '{"q": 1}'
        assert [step] == list(await journal.steps(run_id))
        (attempt,) = await journal.attempts(run_id)
        assert (attempt.outcome, attempt.attempt, attempt.executor) == ("lost", 1, "e1")
        assert attempt.seconds >= 0
        assert (await types(journal, run_id))[-1] == "step.lost"
        taken = await journal.claim_step(run_id, "draft", "e2")
        assert taken is not None
        assert (taken.step.attempt, taken.step.losses) == (2, 1)
        run = await _run(journal, claim)
        assert run.losses == 0

    backend.using(body)


def test_a_step_lost_too_often_fails(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        run_id, name = claim.run.run_id, (claim.run.run_id, "draft")
        for loss in range(1, FOREIGN_FAULTS + 1):
            await journal.claim_step(run_id, "draft", "never-seen")
            (step,) = await journal.rescue_steps([name], 1)
            assert step.losses == loss
            last = loss == FOREIGN_FAULTS
            assert step.state is (StepState.FAILED if last else StepState.QUEUED)
        failure = json.loads(step.failure or "")
        assert (failure["code"], failure["step"]) == ("LOST_TOO_OFTEN", "draft")
        assert step.finished_at is not None
        assert (await types(journal, run_id))[-2:] == ["step.lost", "step.failed"]
        assert list(await journal.rescue_steps([name], 1)) == []
        assert [s.step for s in await journal.settled_steps([name])] == ["draft"]
        run = await _run(journal, claim)
        assert run.steps_done == 1

    backend.using(body)


def test_steps_of_an_ended_run_are_left_alone(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        await journal.claim_step(claim.run.run_id, "draft", "e1")
        await journal.commit(write_of(claim, **ending(RunState.FAILED)))
        assert list(await journal.rescue_steps([(claim.run.run_id, "draft")], 3)) == []
        check_log(await types(journal, claim.run.run_id), ended=True)

    backend.using(body)


async def _run(journal: Journal, claim: Claim) -> Run:
    run = await journal.run(claim.run.run_id)
    assert run is not None
    return run
