"""What runs cost, why they failed, and what was set for agents at run time."""

import pytest

from envelope.errors import InvalidInput
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import (
    AgentLimit,
    RunFilter,
    RunState,
    StepState,
)
from envelope.ports.journal_writes import Replay, StepCommit
from tests.conformance.journal.making import (
    Backend,
    a_run,
    a_step,
    accepted,
    claimed,
    ended,
    ending,
    queued_step,
    write_of,
)


async def failed(
    journal: Journal,
    fingerprint: str | None = None,
    state: RunState = RunState.FAILED,
    message: str = "",
    **fields: object,
) -> str:
    claim = await claimed(journal, **fields)
    failure = f'{{"code": "C", "message": "{message}"}}' if message else None
    end = ending(state, fingerprint=fingerprint, failure=failure)
    await journal.commit(write_of(claim, **end))
    return claim.run.run_id


def test_what_settled_steps_used_is_the_runs(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        used = {"tokens": 10, "usd": 0.5}
        steps = [
            a_step("s1", **used),
            a_step("s2", StepState.FAILED, **used),
            a_step("s3", StepState.RUNNING, tokens=100, usd=100.0),
            a_step("v", kind="value", tokens=2**40),
        ]
        await journal.commit(write_of(claim, steps=steps))
        await journal.commit(write_of(claim, steps=[a_step("s1", tokens=99)]))  # settled before
        run = await journal.run(claim.run.run_id)
        assert run is not None
        assert (run.spent_tokens, run.spent_usd, run.steps_done) == (20 + 2**40, 1.0, 2)

    backend.using(body)


def test_what_a_queued_step_used_is_its_runs_once_it_is_settled(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        run_id = claim.run.run_id
        for attempt, state in ((1, StepState.QUEUED), (2, StepState.SUCCEEDED)):
            await journal.claim_step(run_id, "draft", "e1")
            commit = StepCommit(
                run_id=run_id,
                step="draft",
                attempt=attempt,
                executor="e1",
                state=state,
                tokens=7,
                usd=0.25,
            )
            await journal.commit_step(commit)
        run = await journal.run(run_id)
        assert run is not None
        assert (run.spent_tokens, run.spent_usd) == (7, 0.25)

    backend.using(body)


def test_compensations_count_as_steps(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        kinds = ("agent", "undo", "value", "sleep", "signal", "child")
        steps = [a_step(kind, kind=kind) for kind in kinds]
        await journal.commit(write_of(claim, steps=steps))
        run = await journal.run(claim.run.run_id)
        assert run is not None
        assert run.steps_done == 2

    backend.using(body)


def test_a_family_spends_together(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        root = claim.run.run_id
        assert await journal.spent(root) == (0, 0.0)
        child = await claimed(journal, parent_id=root, root_id=root)
        under = {"parent_id": child.run.run_id, "root_id": root}
        for each in (claim, child, await claimed(journal, **under), await claimed(journal)):
            await journal.commit(write_of(each, steps=[a_step(tokens=10, usd=0.5)]))
        assert await journal.spent(root) == (30, 1.5)
        assert await journal.spent(child.run.run_id) == (10, 0.5)
        assert await journal.spent("unknown") == (0, 0.0)

    backend.using(body)


@pytest.mark.parametrize("fields", [{"tokens": -1}, {"tokens": 2**63}, {"usd": float("nan")}])
def test_costs_that_cannot_be_added_are_refused(backend: Backend, fields: dict[str, float]) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        with pytest.raises(InvalidInput):
            await journal.commit(write_of(claim, steps=[a_step(**fields)]))
        assert list(await journal.steps(claim.run.run_id)) == []

    backend.using(body)


def test_failures_of_one_cause_are_one_group(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        first = await failed(journal, "f1", message="old")
        other = await failed(journal, "f1", flow="audit")
        bare = await failed(journal)
        empty = await failed(journal, "", message="new")
        await failed(journal, "f1", RunState.DEAD)
        second = await failed(journal, "f1", message="new")
        await failed(journal, "f2", RunState.CANCELLED)
        await ended(journal)
        groups = await journal.failure_groups()
        assert [(g.fingerprint, g.flow, g.state, g.count) for g in groups] == [
            ("f1", "lead", RunState.FAILED, 2),
            ("f1", "lead", RunState.DEAD, 1),
            ("", "lead", RunState.FAILED, 2),
            ("f1", "audit", RunState.FAILED, 1),
        ]
        newest, _, unnamed, _ = groups
        assert (newest.example, newest.code, newest.message) == (second, "C", "new")
        assert newest.first_at <= newest.last_at
        run, old = await journal.run(second), await journal.run(first)
        assert run is not None
        assert old is not None
        assert (newest.first_at, newest.last_at) == (old.finished_at, run.finished_at)
        assert unnamed.example in {bare, empty}
        assert list(await journal.failure_groups(1)) == [newest]
        assert list(await journal.failure_groups(0)) == []
        ids = [run.run_id for run in await journal.runs(RunFilter(fingerprint="f1", flow="lead"))]
        assert set(ids) >= {first, second}
        assert len(ids) == 3
        nameless = RunFilter(fingerprint="", states=frozenset({RunState.FAILED}))
        assert {run.run_id for run in await journal.runs(nameless)} == {bare, empty}
        assert other not in ids

    backend.using(body)


def test_what_was_replayed_is_in_no_group(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        source = await failed(journal, "f1")
        await journal.accept(a_run("again", replay=Replay(run_id=source)))
        assert list(await journal.failure_groups()) == []
        which = RunFilter(fingerprint="f1", not_replayed=True)
        assert list(await journal.runs(which)) == []

    backend.using(body)


def test_a_buried_run_has_a_fingerprint(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        for agent in ("rag", "rag", "mail"):
            claim = await claimed(journal)
            open_step = a_step(f"s-{claim.run.run_id}", StepState.RUNNING, agent=agent)
            await journal.commit(write_of(claim, steps=[open_step]))
            await journal.blame(claim.run.run_id, "w1", 1)
        groups = await journal.failure_groups()
        assert sorted(group.count for group in groups) == [1, 2]
        assert {group.code for group in groups} == {"LOST_TOO_OFTEN"}
        assert all(group.fingerprint for group in groups)

    backend.using(body)


def test_limits_are_kept_by_agent_until_they_are_lifted(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        assert list(await journal.limits()) == []
        await journal.set_limit(AgentLimit(agent="rag", concurrency=4))
        await journal.set_limit(AgentLimit(agent="copywriter", rate="500/min"))
        await journal.set_limit(AgentLimit(agent="rag", concurrency=0, rate="1/s"))
        assert list(await journal.limits()) == [
            AgentLimit(agent="copywriter", rate="500/min"),
            AgentLimit(agent="rag", concurrency=0, rate="1/s"),
        ]
        await journal.set_limit(AgentLimit(agent="rag"))
        await journal.set_limit(AgentLimit(agent="never-set"))
        assert [limit.agent for limit in await journal.limits()] == ["copywriter"]

    backend.using(body)


@pytest.mark.parametrize(
    "limit",
    [
        AgentLimit(agent="nul\x00", concurrency=1),
        AgentLimit(agent="a", rate="nul\x00"),
        AgentLimit(agent="a", concurrency=-1),
        AgentLimit(agent="a", concurrency=2**31),
    ],
)
def test_limits_that_cannot_be_stored_are_refused(backend: Backend, limit: AgentLimit) -> None:
    async def body(journal: Journal) -> None:
        with pytest.raises(InvalidInput):
            await journal.set_limit(limit)
        assert list(await journal.limits()) == []

    backend.using(body)


def test_runs_are_found_by_singleton_key(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        ids = [await accepted(journal, singleton="k") for _ in range(2)]
        await accepted(journal, singleton="other")
        await accepted(journal)
        found = await journal.runs(RunFilter(singleton="k"))
        assert [run.run_id for run in found] == ids[::-1]

    backend.using(body)
