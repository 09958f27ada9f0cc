import pytest

from envelope.errors import Fenced, InvalidInput
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import RunState, StepState
from envelope.ports.journal_writes import RunEnd
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
    last_event,
    queued_step,
    state_of,
    suspended,
    types,
    waiting,
    write_of,
)


async def stopped(journal: Journal, worker: str) -> list[tuple[str, ...]]:
    """The runs that a worker is told to stop."""
    beat = await journal.beat(a_worker(worker), 60)
    return [tuple(entry) for entry in beat.runs]


def test_an_unknown_run_cannot_be_cancelled(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        assert await journal.cancel("unknown", "why") is None

    backend.using(body)


def test_a_queued_run_ends_at_once(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        run_id = await accepted(journal)
        run = await journal.cancel(run_id, "no longer wanted")
        assert run is not None
        assert (run.state, run.cancel_reason) == (RunState.CANCELLED, "no longer wanted")
        assert run.finished_at is not None
        assert await journal.run(run_id) == run
        log = await types(journal, run_id)
        assert log == ["run.queued", "run.cancelled"]
        assert "no longer wanted" in (await journal.events(run_id))[-1].data
        await journal.beat(a_worker("w1"), 60)
        assert await journal.claim(run_id, "w1") is None
        assert list(await journal.unsent(frozenset(), 0, 10)) == []

    backend.using(body)


def test_a_run_that_waits_for_a_singleton_key_ends_at_once(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        await accepted(journal, singleton="k")
        run_id = await accepted(journal, singleton="k")
        run = await journal.cancel(run_id, "why")
        assert run is not None
        assert (run.state, run.waits, run.owner) == (RunState.CANCELLED, None, None)
        assert await types(journal, run_id) == ["run.queued", "run.waiting", "run.cancelled"]

    backend.using(body)


def test_a_suspended_run_is_queued_so_that_a_worker_lets_it_compensate(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await suspended(journal, signals={"go": 0})
        run_id = claim.run.run_id
        run = await journal.cancel(run_id, "why")
        assert run is not None
        assert (run.state, run.waits, run.owner) == (RunState.QUEUED, None, None)
        assert (run.cancel_reason, run.sent_at, run.finished_at) == ("why", None, None)
        assert await last_event(journal, run_id) == ("run.cancelling", {"reason": "why"})
        assert await journal.cancel(run_id, "again") == run
        assert [hint.run_id for hint in await journal.unsent(frozenset(), 0, 10)] == [run_id]
        again = await journal.claim(run_id, "w1")
        assert again is not None
        assert again.run.cancel_reason == "why"
        await journal.commit(write_of(again, **ending(RunState.CANCELLED)))
        check_log(await types(journal, run_id), ended=True)

    backend.using(body)


def test_a_run_given_back_stays_queued_so_that_a_worker_lets_it_compensate(
    backend: Backend,
) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        await journal.mark_sent([claim.run.run_id])
        await journal.commit(write_of(claim, end=RunEnd(state=RunState.QUEUED)))
        run = await journal.cancel(claim.run.run_id, "why")
        assert run is not None
        assert (run.state, run.cancel_reason, run.sent_at) == (RunState.QUEUED, "why", None)
        assert await last_event(journal, run.run_id) == ("run.cancelling", {"reason": "why"})

    backend.using(body)


def test_a_cancellation_is_told_once(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        for _ in range(3):
            await journal.cancel(claim.run.run_id, "why")
        kinds = await types(journal, claim.run.run_id)
        assert kinds == ["run.queued", "run.started", "run.cancelling"]

    backend.using(body)


def test_after_a_cancel_only_compensations_are_executed(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        run_id = claim.run.run_id
        queued = {"state": StepState.QUEUED, "inline": False, "attempt": 0}
        await journal.cancel(run_id, "why")
        undo = a_step("undo", kind="undo", **queued)
        late = a_step("late", **queued)
        await journal.commit(write_of(claim, steps=[undo, late]))
        assert await journal.claim_step(run_id, "draft", "e1") is None
        assert await journal.claim_step(run_id, "late", "e1") is None
        assert await journal.claim_step(run_id, "undo", "e1") is not None

    backend.using(body)


def test_a_run_that_is_suspended_by_an_owner_who_does_not_know_is_queued(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        run_id = claim.run.run_id
        await journal.cancel(run_id, "why")
        await journal.commit(write_of(claim, **waiting(signals={"go": 0})))
        assert await state_of(journal, run_id) is RunState.QUEUED
        assert await last_event(journal, run_id) == ("run.woken", {"why": "cancel"})
        # The next owner knows: it may wait as a part of its compensation.
        again = await journal.claim(run_id, "w1")
        assert again is not None
        await journal.commit(write_of(again, **waiting(signals={"go": 0})))
        assert await state_of(journal, run_id) is RunState.WAITING
        assert (await journal.signal(run_id, "go", "{}")).woken

    backend.using(body)


def test_a_running_run_is_left_to_its_owner_who_learns_it_with_the_next_beat(
    backend: Backend,
) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal, "w1")
        other = await claimed(journal, "w2")
        run = await journal.cancel(claim.run.run_id, "first")
        assert run is not None
        assert (run.state, run.owner, run.cancel_reason) == (RunState.RUNNING, "w1", "first")
        again = await journal.cancel(claim.run.run_id, "second")
        assert again is not None
        assert again.cancel_reason == "first"
        assert await stopped(journal, "w2") == []
        for _ in range(2):
            assert await stopped(journal, "w1") == [(run.run_id, "first")]
        await journal.commit(write_of(claim, **ending(RunState.CANCELLED)))
        assert await stopped(journal, "w1") == []
        assert await journal.commit(write_of(other, events=[an_event()])) == 3

    backend.using(body)


def test_the_wish_survives_the_owner(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal, "w1")
        await journal.cancel(claim.run.run_id, "why")
        await lapse(journal, "w1")
        await journal.rescue(3)
        await journal.beat(a_worker("w2"), 60)
        again = await journal.claim(claim.run.run_id, "w2")
        assert again is not None
        assert again.run.cancel_reason == "why"
        assert await stopped(journal, "w2") == [(claim.run.run_id, "why")]

    backend.using(body)


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled", "dead"])
def test_an_ended_run_stays_as_it_is(backend: Backend, state: str) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        await journal.commit(write_of(claim, **ending(RunState(state))))
        before = await journal.run(claim.run.run_id)
        assert await journal.cancel(claim.run.run_id, "too late") == before
        assert await journal.run(claim.run.run_id) == before
        check_log(await types(journal, claim.run.run_id), ended=True)

    backend.using(body)


def test_after_a_cancel_no_executor_starts_a_step_of_a_run_given_back(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await queued_step(journal)
        await journal.commit(write_of(claim, end=RunEnd(state=RunState.QUEUED)))
        await journal.cancel(claim.run.run_id, "why")
        assert await journal.claim_step(claim.run.run_id, "draft", "e1") is None
        with pytest.raises(Fenced):
            await journal.commit(write_of(claim, events=[an_event()]))

    backend.using(body)


def test_a_reason_that_cannot_be_stored_is_refused(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        run_id = await accepted(journal)
        with pytest.raises(InvalidInput):
            await journal.cancel(run_id, "nul\x00")
        run = await journal.run(run_id)
        assert run is not None
        assert run.state is RunState.QUEUED

    backend.using(body)
