import asyncio
from typing import Any

import pytest

from envelope.errors import Fenced, InvalidInput
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Attempt, RunState, StepState
from envelope.ports.journal_writes import RunEnd, StepCommit
from tests.conformance.journal.making import (
    Backend,
    a_step,
    a_worker,
    an_event,
    check_log,
    claimed,
    ending,
    lapse,
    queued_step,
    types,
    write_of,
)


def test_an_executor_takes_a_queued_step(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        run_id = claim.run.run_id
        (queued,) = await journal.steps(run_id)
        assert (queued.state, queued.attempt, queued.executor) == (StepState.QUEUED, 0, None)
        taken = await journal.claim_step(run_id, "draft", "e1")
        assert taken is not None
        step = taken.step
        assert (step.state, step.attempt, step.executor) == (StepState.RUNNING, 1, "e1")
        assert step.input == '{"q": 1}'
        assert step.started_at is not None
        assert taken.run.run_id == run_id
        assert taken.run.payload == claim.run.payload
        assert [step] == list(await journal.steps(run_id))
        assert (await types(journal, run_id))[-1] == "step.started"
        last = (await journal.events(run_id))[-1]
        assert last.step == "draft"
        assert '"e1"' in last.data

    backend.using(body)


def test_a_step_that_is_not_to_be_taken_gives_none(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        run_id = claim.run.run_id
        assert await journal.claim_step(run_id, "unknown", "e1") is None
        assert await journal.claim_step("unknown", "draft", "e1") is None
        assert await journal.claim_step(run_id, "draft", "e1") is not None
        for executor in ("e1", "e2"):
            assert await journal.claim_step(run_id, "draft", executor) is None
        await journal.commit(write_of(claim, steps=[a_step("own", StepState.RUNNING), a_step()]))
        assert await journal.claim_step(run_id, "own", "e2") is None
        assert await journal.claim_step(run_id, "research", "e2") is None
        ended = await queued_step(journal)
        await journal.commit(write_of(ended, **ending(RunState.FAILED)))
        assert await journal.claim_step(ended.run.run_id, "draft", "e1") is None
        check_log(await types(journal, ended.run.run_id), ended=True)

    backend.using(body)


def test_of_many_executors_at_once_one_takes_the_step(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        takers = (journal.claim_step(claim.run.run_id, "draft", f"e{n}") for n in range(20))
        taken = [claim for claim in await asyncio.gather(*takers) if claim is not None]
        assert len(taken) == 1
        (step,) = await journal.steps(claim.run.run_id)
        assert (step.executor, step.attempt) == (taken[0].step.executor, 1)

    backend.using(body)


def test_an_outcome_is_written_and_the_owner_named(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        taken = await journal.claim_step(claim.run.run_id, "draft", "e1")
        assert taken is not None
        record = Attempt(step="draft", attempt=1, executor="e1", outcome="succeeded", seconds=1.0)
        events = [an_event("step.succeeded", step="draft")]
        commit = _outcome(claim.run.run_id, result="R", seconds=1.0, events=events, record=record)
        assert await journal.commit_step(commit) == "w1"
        (step,) = await journal.settled_steps([(claim.run.run_id, "draft")])
        assert (step.state, step.result, step.executor) == (StepState.SUCCEEDED, "R", "e1")
        assert step.finished_at is not None
        assert step.started_at == taken.step.started_at
        (attempt,) = await journal.attempts(claim.run.run_id)
        assert (attempt.outcome, attempt.finished_at) == ("succeeded", step.finished_at)
        run = await journal.run(claim.run.run_id)
        assert run is not None
        assert (run.steps_done, run.losses) == (1, 0)
        assert (await types(journal, run.run_id))[-1] == "step.succeeded"

    backend.using(body)


def test_a_failed_outcome_keeps_its_failure(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        await journal.claim_step(claim.run.run_id, "draft", "e1")
        commit = _outcome(claim.run.run_id, state=StepState.FAILED, failure='{"code": "X"}')
        await journal.commit_step(commit)
        (step,) = await journal.steps(claim.run.run_id)
        assert (step.state, step.failure) == (StepState.FAILED, '{"code": "X"}')

    backend.using(body)


def test_a_step_handed_back_is_taken_again_for_a_further_attempt(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        run_id = claim.run.run_id
        await journal.claim_step(run_id, "draft", "e1")
        await journal.commit_step(_outcome(run_id, state=StepState.QUEUED, failure="why"))
        (step,) = await journal.steps(run_id)
        assert (step.state, step.executor, step.failure) == (StepState.QUEUED, None, "why")
        assert list(await journal.settled_steps([(run_id, "draft")])) == []
        with pytest.raises(Fenced):
            await journal.commit_step(_outcome(run_id))
        taken = await journal.claim_step(run_id, "draft", "e2")
        assert taken is not None
        assert (taken.step.attempt, taken.step.executor) == (2, "e2")
        run = await journal.run(run_id)
        assert run is not None
        assert run.steps_done == 0

    backend.using(body)


@pytest.mark.parametrize("fields", [{"attempt": 2}, {"executor": "e2"}, {"step": "other"}])
def test_another_attempt_or_executor_is_refused(backend: Backend, fields: dict[str, Any]) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        await journal.claim_step(claim.run.run_id, "draft", "e1")
        before = await journal.steps(claim.run.run_id)
        with pytest.raises(Fenced):
            await journal.commit_step(_outcome(claim.run.run_id, **fields))
        assert await journal.steps(claim.run.run_id) == before

    backend.using(body)


def test_an_outcome_counts_once(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        await journal.claim_step(claim.run.run_id, "draft", "e1")
        commits = (journal.commit_step(_outcome(claim.run.run_id)) for _ in range(5))
        results = await asyncio.gather(*commits, return_exceptions=True)
        assert results[0] == "w1"
        assert all(isinstance(result, Fenced) for result in results[1:])

    backend.using(body)


def test_an_outcome_is_adopted_when_the_run_moved_on_and_refused_when_it_ended(
    backend: Backend,
) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        run_id = claim.run.run_id
        await journal.claim_step(run_id, "draft", "e1")
        await lapse(journal, "w1")
        await journal.beat(a_worker("w2"), 60)
        moved = await journal.claim(run_id, "w2")
        assert moved is not None
        assert moved.steps[0].executor == "e1"
        assert await journal.commit_step(_outcome(run_id)) == "w2"

        other = await queued_step(journal, worker="w3")
        await journal.claim_step(other.run.run_id, "draft", "e1")
        await journal.commit(write_of(other, end=RunEnd(state=RunState.QUEUED)))
        assert await journal.commit_step(_outcome(other.run.run_id)) is None

        ended = await queued_step(journal, worker="w3")
        await journal.claim_step(ended.run.run_id, "draft", "e1")
        await journal.commit(write_of(ended, **ending(RunState.CANCELLED)))
        with pytest.raises(Fenced):
            await journal.commit_step(_outcome(ended.run.run_id, events=[an_event()]))
        check_log(await types(journal, ended.run.run_id), ended=True)

    backend.using(body)


def test_an_outcome_must_be_one(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        await journal.claim_step(claim.run.run_id, "draft", "e1")
        for fields in (
            {"events": [an_event("run.failed")]},
            {"result": "nul\x00"},
        ):
            with pytest.raises(InvalidInput):
                await journal.commit_step(_outcome(claim.run.run_id, **fields))

    backend.using(body)


def test_an_executor_may_append_while_it_runs(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        run_id = claim.run.run_id
        taken = await journal.claim_step(run_id, "draft", "e1")
        assert taken is not None
        record = Attempt(step="draft", attempt=1, executor="e1", outcome="retried", seconds=1.0)
        events = [an_event("mine", origin="o"), an_event("mine", origin="o")]
        commit = _outcome(run_id, state=StepState.RUNNING, events=events, record=record)
        assert await journal.commit_step(commit) == "w1"
        assert list(await journal.steps(run_id)) == [taken.step]
        assert [a.outcome for a in await journal.attempts(run_id)] == ["retried"]
        assert (await types(journal, run_id))[-2:] == ["step.started", "mine"]
        assert await journal.commit_step(_outcome(run_id)) == "w1"
        with pytest.raises(Fenced):
            await journal.commit_step(commit)

    backend.using(body)


def test_an_owner_may_settle_a_step_that_it_queued_and_its_executor_comes_too_late(
    backend: Backend,
) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        await journal.claim_step(claim.run.run_id, "draft", "e1")
        late = a_step("draft", StepState.FAILED, failure="deadline", inline=False)
        await journal.commit(write_of(claim, steps=[late]))
        with pytest.raises(Fenced):
            await journal.commit_step(_outcome(claim.run.run_id))
        (step,) = await journal.steps(claim.run.run_id)
        assert (step.state, step.failure, step.position) == (StepState.FAILED, "deadline", 1)

    backend.using(body)


def test_settled_steps_returns_those_named_that_are_settled(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        one, two = await claimed(journal), await claimed(journal)
        await journal.commit(write_of(one, steps=[a_step("a"), a_step("b", StepState.RUNNING)]))
        await journal.commit(write_of(two, steps=[a_step("b", StepState.FAILED), a_step("c")]))
        first, second = one.run.run_id, two.run.run_id
        names = [(first, "a"), (first, "b"), (second, "b"), (first, "c"), ("x", "a")]
        settled = await journal.settled_steps(names)
        found = {(step.run_id, step.step) for step in settled}
        assert found == {(first, "a"), (second, "b")}
        assert list(await journal.settled_steps([])) == []

    backend.using(body)


def test_running_steps_names_those_that_somebody_executes(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        taken, waiting = await queued_step(journal), await queued_step(journal)
        await journal.claim_step(taken.run.run_id, "draft", "e1")
        names = [(claim.run.run_id, "draft") for claim in (waiting, taken)]
        asked = [*names, names[1], ("x", "draft")]
        assert list(await journal.running_steps(asked)) == [names[1]]
        await journal.commit_step(_outcome(taken.run.run_id))
        assert list(await journal.running_steps(asked)) == []
        assert list(await journal.running_steps([])) == []

    backend.using(body)


def _outcome(run_id: str, **fields: Any) -> StepCommit:
    values: dict[str, Any] = {
        "run_id": run_id,
        "step": "draft",
        "attempt": 1,
        "executor": "e1",
        "state": StepState.SUCCEEDED,
    }
    return StepCommit(**values | fields)
