import asyncio

import pytest

from envelope.errors import InvalidInput, RunEnded, UnknownRun
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import RunState
from tests.conformance.journal.making import (
    Backend,
    accepted,
    claimed,
    ended,
    last_event,
    state_of,
    suspended,
    types,
    waiting,
    woken,
    write_of,
)


def test_signals_are_kept_and_numbered(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        run_id = await accepted(journal)
        for number, (name, data) in enumerate([("a", "1"), ("b", '"é"'), ("a", "{}")], 1):
            told = await journal.signal(run_id, name, data)
            assert (told.number, told.woken, told.run.run_id) == (number, False, run_id)
            assert told.run == await journal.run(run_id)
            event = {"name": name, "number": number}
            assert await last_event(journal, run_id) == ("run.signalled", event)
        kept = await journal.signals(run_id)
        assert [(s.number, s.name, s.data) for s in kept] == [
            (1, "a", "1"),
            (2, "b", '"é"'),
            (3, "a", "{}"),
        ]
        assert all(s.run_id == run_id and s.at > 0 for s in kept)
        assert list(await journal.signals(run_id, after=2)) == [kept[2]]
        assert list(await journal.signals(run_id, after=3)) == []
        assert list(await journal.signals("unknown")) == []

    backend.using(body)


def test_a_claim_brings_all_signals(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        quiet = await claimed(journal)
        assert list(quiet.signals) == []
        claim = await suspended(journal, signals={"go": 0})
        run_id = claim.run.run_id
        await journal.signal(run_id, "other", "1")
        await journal.signal(run_id, "go", "2")
        again = await journal.claim(run_id, "w1")
        assert again is not None
        assert [(s.number, s.name) for s in again.signals] == [(1, "other"), (2, "go")]

    backend.using(body)


def test_a_signal_wakes_a_run_that_waits_for_one_more_of_its_name(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        run_id = claim.run.run_id
        await journal.signal(run_id, "go", "1")
        await journal.commit(write_of(claim, **waiting(signals={"go": 1, "stop": 0})))
        assert not (await journal.signal(run_id, "else", "1")).woken
        assert await state_of(journal, run_id) is RunState.WAITING
        told = await journal.signal(run_id, "go", "2")
        assert told.woken
        assert (told.run.state, told.run.waits, told.run.sends) == (RunState.QUEUED, None, 0)
        assert (await types(journal, run_id))[-2:] == ["run.signalled", "run.woken"]
        assert await last_event(journal, run_id) == ("run.woken", {"why": "signal", "signal": "go"})
        assert not (await journal.signal(run_id, "go", "3")).woken
        # Nobody but the caller sends it; should that fail, a reconciler does.
        assert await woken(journal) == []
        assert [h.run_id for h in await journal.unsent(frozenset(), 0, 10)] == [run_id]

    backend.using(body)


def test_more_signals_at_once_get_different_numbers(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await suspended(journal, signals={"go": 4})
        run_id = claim.run.run_id
        told = await asyncio.gather(*(journal.signal(run_id, "go", "1") for _ in range(20)))
        assert sorted(each.number for each in told) == list(range(1, 21))
        assert [each.number for each in told if each.woken] == [5]
        assert len(await types(journal, run_id)) == 3 + 20 + 1

    backend.using(body)


def test_an_unknown_run_cannot_be_signalled(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        with pytest.raises(UnknownRun, match="nowhere"):
            await journal.signal("nowhere", "go", "1")

    backend.using(body)


def test_an_ended_run_receives_nothing(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        run_id = await ended(journal)
        before = await types(journal, run_id)
        with pytest.raises(RunEnded, match="succeeded"):
            await journal.signal(run_id, "go", "1")
        assert list(await journal.signals(run_id)) == []
        assert await types(journal, run_id) == before

    backend.using(body)


@pytest.mark.parametrize(
    ("name", "data"), [("nul\x00", "1"), ("go", "\ud800"), ("", "1"), ("n" * 201, "1")]
)
def test_a_signal_that_cannot_be_stored_is_refused(backend: Backend, name: str, data: str) -> None:
    async def body(journal: Journal) -> None:
        run_id = await accepted(journal)
        with pytest.raises(InvalidInput):
            await journal.signal(run_id, name, data)
        assert await types(journal, run_id) == ["run.queued"]

    backend.using(body)
