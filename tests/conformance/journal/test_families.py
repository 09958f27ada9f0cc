"""Parents and children: what they share, and how a cancellation goes down to the last of them."""

import asyncio

import pytest

from envelope.errors import InvalidInput, UnknownRun
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import RunFilter, RunState
from envelope.ports.journal_writes import RunEnd
from tests.conformance.journal.making import (
    Backend,
    a_run,
    a_worker,
    accepted,
    claimed,
    ended,
    ending,
    last_event,
    state_of,
    types,
    waiting,
    woken,
    write_of,
)
from worker.journal.cancelling import CancelRun


def test_a_child_says_whose_it_is_and_what_it_may_spend(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        parent = await accepted(journal)
        family = {"parent_id": parent, "root_id": "root"}
        run_id = await accepted(journal, **family, budget_tokens=2**40, budget_usd=0.25)
        run = await journal.run(run_id)
        assert run is not None
        assert (run.parent_id, run.root_id) == (parent, "root")
        assert (run.budget_tokens, run.budget_usd) == (2**40, 0.25)
        await accepted(journal)
        found = await journal.runs(RunFilter(parent_id=parent))
        assert [each.run_id for each in found] == [run_id]

    backend.using(body)


def test_a_child_of_nobody_is_refused(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        with pytest.raises(UnknownRun, match="nobody"):
            await journal.accept(a_run("child", parent_id="nobody"))
        assert await journal.run("child") is None

    backend.using(body)


def test_a_parent_and_its_child_may_be_accepted_together(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        results = await asyncio.gather(
            journal.accept(a_run("z-parent")), journal.accept(a_run("child", parent_id="z-parent"))
        )
        assert all(result.created for result in results)

    backend.using(body)


def test_a_cancellation_reaches_every_descendant(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        root = claim.run.run_id
        queued = await accepted(journal, parent_id=root)
        running = (await claimed(journal, parent_id=root)).run.run_id
        sleeper = await claimed(journal, parent_id=running)
        await journal.commit(write_of(sleeper, **waiting(until=1e11)))
        grandchild = await accepted(journal, parent_id=sleeper.run.run_id)
        done = await ended(journal, parent_id=root)
        stranger = await accepted(journal)
        await journal.cancel(root, "enough")
        states = {
            root: RunState.RUNNING,
            queued: RunState.CANCELLED,
            running: RunState.RUNNING,
            sleeper.run.run_id: RunState.QUEUED,
            grandchild: RunState.CANCELLED,
        }
        for run_id, state in states.items():
            run = await journal.run(run_id)
            assert run is not None
            assert (run.state, run.cancel_reason) == (state, "enough")
        assert await state_of(journal, done) is RunState.SUCCEEDED
        assert await state_of(journal, stranger) is RunState.QUEUED
        beat = await journal.beat(a_worker(), 60)
        assert sorted(beat.runs) == sorted([(root, "enough"), (running, "enough")])
        before = await types(journal, running)
        await journal.cancel(root, "again")
        assert await woken(journal) == []
        assert await types(journal, running) == before

    backend.using(body)


def test_a_large_family_is_cancelled_whole(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        root = (await claimed(journal)).run.run_id
        await asyncio.gather(
            *(journal.accept(a_run(f"c{n:04}", parent_id=root)) for n in range(603))
        )
        await asyncio.gather(
            *(journal.accept(a_run(f"g{n:04}", parent_id=f"c{n:04}")) for n in range(603))
        )
        await journal.cancel(root, "enough")
        assert await journal.counts() == {"lead": {"running": 1, "cancelled": 1206}}

    backend.using(body)


def test_a_child_that_comes_after_the_cancellation_does_not_begin(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        root = (await claimed(journal)).run.run_id
        await journal.cancel(root, "enough")
        child = await journal.accept(a_run("child", parent_id=root))
        assert child.created
        run = await journal.run("child")
        assert run is not None
        assert (run.state, run.cancel_reason) == (RunState.CANCELLED, "enough")
        assert await types(journal, "child") == ["run.queued", "run.cancelled"]

    backend.using(body)


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.CANCELLED, RunState.DEAD])
def test_children_of_a_run_that_ended_badly_are_asked_to_stop(
    backend: Backend, state: RunState
) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        root = claim.run.run_id
        child = await claimed(journal, parent_id=root)
        grandchild = await accepted(journal, parent_id=child.run.run_id)
        await journal.commit(write_of(claim, **ending(state)))
        assert await woken(journal) == []
        reason = f"Its parent run {root} has ended as {state.value}."
        run = await journal.run(child.run.run_id)
        assert run is not None
        assert (run.state, run.cancel_reason) == (RunState.RUNNING, reason)
        assert await last_event(journal, run.run_id) == ("run.cancelling", {"reason": reason})
        assert await last_event(journal, grandchild) == ("run.cancelled", {"reason": reason})
        late = await accepted(journal, parent_id=root)
        assert await state_of(journal, late) is RunState.CANCELLED

    backend.using(body)


def test_children_of_a_run_that_succeeded_go_on(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        child = await accepted(journal, parent_id=claim.run.run_id)
        await journal.commit(write_of(claim, **ending()))
        late = await accepted(journal, parent_id=claim.run.run_id)
        assert await woken(journal) == []
        await journal.cancel(claim.run.run_id, "too late")
        for run_id in (child, late):
            run = await journal.run(run_id)
            assert run is not None
            assert (run.state, run.cancel_reason) == (RunState.QUEUED, None)

    backend.using(body)


def test_a_buried_run_leaves_no_active_children(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        child = await accepted(journal, parent_id=claim.run.run_id)
        await journal.blame(claim.run.run_id, "w1", 1)
        await journal.wake(10)
        assert await state_of(journal, child) is RunState.CANCELLED

    backend.using(body)


def test_what_a_crash_left_out_is_asked_by_the_next_who_wakes(database: Backend) -> None:
    """The canceller dies between the parent's transaction and those of its children."""

    async def body(journal: Journal) -> None:
        root = (await claimed(journal)).run.run_id
        child = await accepted(journal, parent_id=root)
        grandchild = await accepted(journal, parent_id=child)
        await journal._write(CancelRun(root, "enough"))  # type: ignore[attr-defined]
        assert await state_of(journal, child) is RunState.QUEUED
        await journal.wake(10)
        assert await state_of(journal, child) is RunState.CANCELLED
        assert await state_of(journal, grandchild) is RunState.CANCELLED

    database.using(body)


def test_a_child_that_is_cancelled_with_its_parent_wakes_it_no_more(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        root = claim.run.run_id
        child = await accepted(journal, parent_id=root)
        await journal.commit(write_of(claim, **waiting(children=[child])))
        await journal.cancel(root, "enough")
        assert await state_of(journal, root) is RunState.QUEUED
        assert await woken(journal) == []
        kinds = await types(journal, root)
        assert kinds == ["run.queued", "run.started", "run.waiting", "run.cancelling"]

    backend.using(body)


def test_a_run_given_back_by_a_parent_that_is_to_stop_keeps_its_children_asked(
    backend: Backend,
) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        child = await accepted(journal, parent_id=claim.run.run_id)
        await journal.commit(write_of(claim, end=RunEnd(state=RunState.QUEUED)))
        await journal.cancel(claim.run.run_id, "why")
        assert await state_of(journal, child) is RunState.CANCELLED

    backend.using(body)


@pytest.mark.parametrize(
    "fields",
    [
        {"parent_id": "nul\x00"},
        {"root_id": "nul\x00"},
        {"budget_tokens": -1},
        {"budget_tokens": 2**63},
        {"budget_usd": float("inf")},
    ],
)
def test_families_and_budgets_that_cannot_be_stored_are_refused(
    backend: Backend, fields: dict[str, object]
) -> None:
    async def body(journal: Journal) -> None:
        with pytest.raises(InvalidInput):
            await journal.accept(a_run(**fields))
        assert await journal.counts() == {}

    backend.using(body)
