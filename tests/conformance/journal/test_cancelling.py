import pytest

from envelope.errors import Fenced, InvalidInput
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import RunEnd, RunState
from tests.conformance.journal.making import (
    Backend,
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


def test_a_waiting_run_ends_at_once(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        await journal.commit(write_of(claim, end=RunEnd(state=RunState.WAITING)))
        run = await journal.cancel(claim.run.run_id, "why")
        assert run is not None
        assert (run.state, run.owner) == (RunState.CANCELLED, None)
        check_log(await types(journal, run.run_id), ended=True)

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
        assert list(await journal.beat(a_worker("w2"), 60)) == []
        for _ in range(2):
            beat = await journal.beat(a_worker("w1"), 60)
            assert [tuple(entry) for entry in beat] == [(run.run_id, "first")]
        await journal.commit(write_of(claim, **ending(RunState.CANCELLED)))
        assert list(await journal.beat(a_worker("w1"), 60)) == []
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
        beat = await journal.beat(a_worker("w2"), 60)
        assert [tuple(entry) for entry in beat] == [(claim.run.run_id, "why")]

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
