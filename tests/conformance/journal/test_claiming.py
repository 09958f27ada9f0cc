import asyncio

import pytest

from envelope.errors import Fenced
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import RunState
from envelope.ports.journal_writes import RunEnd
from tests.conformance.journal.making import (
    Backend,
    a_run,
    a_step,
    a_worker,
    accepted,
    an_event,
    claimed,
    ending,
    lapse,
    suspended,
    types,
    until,
    waiting,
    write_of,
)


def test_a_claim_takes_the_run_under_a_new_epoch(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal, "w1")
        run = claim.run
        assert (run.state, run.owner, run.epoch) == (RunState.RUNNING, "w1", 1)
        assert run.started_at is not None
        assert run.started_at >= run.created_at
        assert claim.now == run.started_at
        assert (list(claim.steps), claim.origins) == ([], frozenset())
        assert run.payload == '{"company": "ACME"}'
        assert await journal.run(run.run_id) == run
        assert await types(journal, run.run_id) == ["run.queued", "run.started"]
        event = (await journal.events(run.run_id, after=1))[0]
        assert '"w1"' in event.data
        assert "1" in event.data

    backend.using(body)


def test_a_run_that_is_not_to_be_taken_gives_none(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        await journal.beat(a_worker("w2"), 60)
        assert await journal.claim("unknown", "w2") is None
        owned = await claimed(journal, "w1")
        assert await journal.claim(owned.run.run_id, "w2") is None
        done = await claimed(journal, "w1")
        await journal.commit(write_of(done, **ending()))
        assert await journal.claim(done.run.run_id, "w2") is None
        waiting = await suspended(journal, "w1", signals={"go": 0})
        assert await journal.claim(waiting.run.run_id, "w2") is None
        for claim, count in ((owned, 2), (done, 3), (waiting, 3)):
            assert len(await types(journal, claim.run.run_id)) == count

    backend.using(body)


def test_a_duplicate_message_for_ones_own_run_gives_none(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal, "w1")
        assert await journal.claim(claim.run.run_id, "w1") is None
        await lapse(journal, "w1")
        assert await journal.claim(claim.run.run_id, "w1") is None
        run = await journal.run(claim.run.run_id)
        assert run is not None
        assert run.epoch == 1

    backend.using(body)


def test_a_delayed_run_is_taken_when_its_time_has_come(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        await journal.beat(a_worker(), 60)
        never = await accepted(journal, delay_seconds=1000)
        soon = await accepted(journal, delay_seconds=0.3)
        assert await journal.claim(never, "w1") is None
        taken = []

        async def is_taken() -> bool:
            taken.append(await journal.claim(soon, "w1"))
            return taken[-1] is not None

        await until(is_taken)
        run = taken[-1].run  # type: ignore[union-attr]  # the last one is what ended the wait
        assert run.started_at is not None
        assert run.started_at >= run.available_at

    backend.using(body)


@pytest.mark.parametrize("how", ["lapsed", "retired", "never seen"])
def test_a_run_whose_owner_is_gone_is_taken_and_the_loss_counted(
    backend: Backend, how: str
) -> None:
    async def body(journal: Journal) -> None:
        await journal.beat(a_worker("w2"), 60)
        if how == "never seen":
            first = await journal.claim(await accepted(journal), "w1")
            assert first is not None
        else:
            first = await claimed(journal, "w1")
            await (lapse(journal, "w1") if how == "lapsed" else journal.retire("w1"))
        second = await journal.claim(first.run.run_id, "w2")
        assert second is not None
        assert (second.run.epoch, second.run.owner, second.run.losses) == (2, "w2", 1)
        assert second.run.started_at == first.run.started_at
        log = await types(journal, first.run.run_id)
        assert log == ["run.queued", "run.started", "run.lost", "run.resumed"]
        with pytest.raises(Fenced):
            await journal.commit(write_of(first, **ending()))

    backend.using(body)


def test_a_claim_carries_what_the_replay_needs(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal, "w1")
        steps = [a_step("b"), a_step("a"), a_step("c", result="é" * 10)]
        events = [an_event("note", origin="o1"), an_event("note"), an_event("x", origin="o2")]
        await journal.commit(write_of(claim, steps=steps, events=events))
        await journal.commit(write_of(claim, end=RunEnd(state=RunState.QUEUED)))
        again = await journal.claim(claim.run.run_id, "w1")
        assert again is not None
        assert [step.step for step in again.steps] == ["b", "a", "c"]
        assert list(again.steps) == list(await journal.steps(claim.run.run_id))
        assert again.steps[2].result == "é" * 10
        assert again.origins == {"o1", "o2"}
        assert again.run.epoch == 2

    backend.using(body)


def test_of_many_claims_at_once_one_wins(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        workers = [f"w{n}" for n in range(20)]
        for worker in workers:
            await journal.beat(a_worker(worker), 60)
        run_id = await accepted(journal)
        claims = await asyncio.gather(*(journal.claim(run_id, worker) for worker in workers))
        assert sum(claim is not None for claim in claims) == 1
        run = await journal.run(run_id)
        assert run is not None
        assert run.epoch == 1

    backend.using(body)


def test_a_claim_never_learns_an_epoch_that_is_not_its_own(backend: Backend) -> None:
    """Workers whose leases are unknown steal from each other, even inside one batch."""

    async def body(journal: Journal) -> None:
        run_id = await accepted(journal)
        claims = await asyncio.gather(*(journal.claim(run_id, f"w{n}") for n in range(10)))
        taken = [claim.run for claim in claims if claim is not None]
        assert len({run.epoch for run in taken}) == len(taken)
        assert len({run.owner for run in taken}) == len(taken)
        results = await asyncio.gather(
            *(journal.commit(write_of(c, **ending())) for c in claims if c is not None),
            return_exceptions=True,
        )
        assert sum(isinstance(result, int) for result in results) == 1

    backend.using(body)


def test_a_campaign_is_claimed_together(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        await journal.beat(a_worker(), 60)
        news = [a_run(payload=f'{{"n": {n}}}') for n in range(120)]
        await asyncio.gather(*(journal.accept(new) for new in news))
        claims = await asyncio.gather(*(journal.claim(new.run_id, "w1") for new in news))
        for new, claim in zip(news, claims, strict=True):
            assert claim is not None
            assert (claim.run.run_id, claim.run.payload) == (new.run_id, new.payload)

    backend.using(body)


def test_an_owner_hands_a_run_over_without_a_loss(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        run_id = await accepted(journal)
        for name in ("w1", "w2", "w3"):
            await journal.beat(a_worker(name), 60)
        assert await journal.claim(run_id, "w2", from_owner="w1") is not None, "it was queued"
        assert await journal.claim(run_id, "w3", from_owner="w1") is None, "w1 does not own it"
        stale = await journal.claim(run_id, "w3", from_owner="w2", from_epoch=0)
        assert stale is None, "w2 has claimed it anew since"
        handed = await journal.claim(run_id, "w3", from_owner="w2")
        assert handed is not None
        assert (handed.run.owner, handed.run.epoch, handed.run.losses) == ("w3", 2, 0)

    backend.using(body)


def test_a_run_of_a_version_that_is_not_here_is_left_alone(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        run_id = await accepted(journal)
        run = await journal.run(run_id)
        assert run is not None
        await journal.beat(a_worker("w1"), 60)
        for versions in ({}, {run.flow: []}, {run.flow: [run.version + 1]}, {"other": [1]}):
            assert await journal.claim(run_id, "w1", versions=versions) is None
        after = await journal.run(run_id)
        assert after == run, "nothing was written"
        versions = {run.flow: [run.version, run.version + 1]}
        assert await journal.claim(run_id, "w1", versions=versions) is not None

    backend.using(body)


def test_a_worker_s_running_runs_are_told_with_their_epochs(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        kept, ended, lost = [await claimed(journal, "w1") for _ in range(3)]
        await claimed(journal, "w2")
        waits = await claimed(journal, "w1")
        await journal.commit(write_of(ended, **ending()))
        await journal.commit(write_of(waits, **waiting(signals={"go": 0})))
        assert await journal.claim(lost.run.run_id, "w2", from_owner="w1") is not None
        assert await journal.owned("w1") == {kept.run.run_id: 1}
        assert lost.run.run_id in await journal.owned("w2")
        assert await journal.owned("w3") == {}

    backend.using(body)
