"""What a run waits for, and that it is woken once when the first of it comes."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from envelope.errors import Fenced, InvalidInput
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Hint, RunState, Waits
from envelope.ports.journal_writes import RunEnd
from tests.conformance.journal.making import (
    Backend,
    a_step,
    a_worker,
    accepted,
    an_event,
    claimed,
    ended,
    ending,
    last_event,
    state_of,
    suspended,
    types,
    until,
    waiting,
    woken,
    write_of,
)
from worker.journal.sql import SqlJournal
from worker.journal.wakeable import _TIMED

FUTURE = 1e11


def test_a_suspended_run_is_nobodys_and_waits(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        child = await accepted(journal)
        claim = await suspended(journal, until=FUTURE, signals={"go": 0}, children=[child])
        run = await journal.run(claim.run.run_id)
        assert run is not None
        assert (run.state, run.owner, run.epoch) == (RunState.WAITING, None, 1)
        assert run.waits == Waits(until=FUTURE, signals={"go": 0}, children=(child,))
        assert await types(journal, run.run_id) == ["run.queued", "run.started", "run.waiting"]
        assert await journal.claim(run.run_id, "w1") is None
        assert run.run_id not in {h.run_id for h in await journal.unsent(frozenset(), 0, 10)}
        assert await woken(journal) == []
        assert list(await journal.rescue(3)) == []
        with pytest.raises(Fenced, match="waiting"):
            await journal.commit(write_of(claim, events=[an_event()]))

    backend.using(body)


def test_its_time_wakes_a_run_once(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        now = (await claimed(journal)).run.created_at
        claim = await suspended(journal, until=now + 0.5)
        run_id = claim.run.run_id
        assert await state_of(journal, run_id) is RunState.WAITING
        found: list[Hint] = []

        async def is_woken() -> bool:
            found.extend(await journal.wake(10))
            return bool(found)

        await until(is_woken)
        assert found == [Hint(run_id=run_id, flow="lead", priority=0)]
        assert await last_event(journal, run_id) == ("run.woken", {"why": "time"})
        run = await journal.run(run_id)
        assert run is not None
        assert (run.sends, run.waits, run.epoch) == (1, None, 1)
        assert run.sent_at is not None
        assert run.sent_at >= now + 0.5
        assert await woken(journal) == []
        again = await journal.claim(run_id, "w1")
        assert again is not None
        assert (await last_event(journal, run_id))[0] == "run.resumed"

    backend.using(body)


@pytest.mark.parametrize("what", ["time", "signal", "child"])
def test_what_is_there_already_queues_the_run_at_once(backend: Backend, what: str) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        run_id = claim.run.run_id
        child = await ended(journal)
        await journal.signal(run_id, "go", "1")
        waits: dict[str, Any] = {"until": FUTURE, "signals": {"go": 1}}
        waits |= {"time": {"until": 1.0}, "signal": {"signals": {"go": 0}}}.get(what, {})
        waits |= {"children": [child]} if what == "child" else {}
        number = await journal.commit(write_of(claim, **waiting(**waits)))
        named = {"time": {}, "signal": {"signal": "go"}, "child": {"child": child}}[what]
        assert await last_event(journal, run_id) == ("run.woken", {"why": what, **named})
        run = await journal.run(run_id)
        assert run is not None
        assert (run.state, run.waits, run.owner, run.sent_at) == (RunState.QUEUED, None, None, None)
        assert run.events == number == 5
        assert [h.run_id for h in await journal.unsent(frozenset(), 0, 10)] == [run_id]

    backend.using(body)


def test_losses_and_steps_stay_while_a_run_waits(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        run_id = claim.run.run_id
        await journal.retire("w1")
        await journal.rescue(3)
        again = await journal.claim(run_id, "w1")
        assert again is not None
        value = a_step("now", kind="value")
        await journal.commit(write_of(again, steps=[value], **waiting(signals={"go": 0})))
        run = await journal.run(run_id)
        assert run is not None
        assert (run.losses, run.epoch, run.steps_done) == (1, 3, 0)
        await journal.signal(run_id, "go", "1")
        third = await journal.claim(run_id, "w2")
        assert third is not None
        assert (third.run.losses, third.run.epoch) == (1, 4)
        assert [step.step for step in third.steps] == ["now"]

    backend.using(body)


def test_the_end_of_a_child_wakes_all_who_wait_for_it(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        child = await claimed(journal)
        other = await claimed(journal)
        names = [child.run.run_id, other.run.run_id]
        both = await suspended(journal, children=names)
        one = await suspended(journal, children=names[:1])
        last = await suspended(journal, children=names[1:])
        assert await woken(journal) == []
        await journal.commit(write_of(child, **ending(RunState.FAILED)))
        parents = {both.run.run_id, one.run.run_id}
        assert set(await woken(journal)) == parents
        for run_id in parents:
            told = await last_event(journal, run_id)
            assert told == ("run.woken", {"why": "child", "child": names[0]})
        assert await woken(journal) == []
        again = await journal.claim(both.run.run_id, "w1")
        assert again is not None
        await journal.commit(write_of(again, **waiting(children=names[1:])))
        await journal.commit(write_of(other, **ending(RunState.DEAD)))
        assert set(await woken(journal)) == {both.run.run_id, last.run.run_id}
        assert await woken(journal) == []

    backend.using(body)


def test_a_child_may_be_awaited_again_and_again(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        child = await claimed(journal)
        claim = await suspended(journal, children=[child.run.run_id], signals={"go": 0})
        run_id = claim.run.run_id
        for n in range(3):
            assert (await journal.signal(run_id, "go", str(n))).woken
            taken = await journal.claim(run_id, "w1")
            assert taken is not None
            waits = waiting(children=[child.run.run_id], signals={"go": n + 1})
            await journal.commit(write_of(taken, **waits))
        await journal.commit(write_of(child, **ending()))
        assert await woken(journal) == [run_id]
        assert await woken(journal) == []

    backend.using(body)


def test_a_child_that_is_not_there_is_not_waited_for(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await suspended(journal, children=["gone"])
        assert await state_of(journal, claim.run.run_id) is RunState.QUEUED

    backend.using(body)


def test_a_parent_that_went_on_is_not_woken_by_a_child_it_waited_for(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        child = await claimed(journal)
        claim = await suspended(journal, children=[child.run.run_id], signals={"go": 0})
        await journal.signal(claim.run.run_id, "go", "1")
        taken = await journal.claim(claim.run.run_id, "w1")
        assert taken is not None
        await journal.commit(write_of(child, **ending()))
        assert await woken(journal) == []
        assert await journal.commit(write_of(taken, **ending())) == 7

    backend.using(body)


def test_only_the_runs_named_are_looked_at(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        child = await claimed(journal)
        first = await suspended(journal, children=[child.run.run_id])
        second = await suspended(journal, children=[child.run.run_id])
        await journal.commit(write_of(child, **ending()))
        assert await woken(journal, run_ids=["unknown", child.run.run_id]) == []
        assert await woken(journal, run_ids=[]) == []
        assert await woken(journal, run_ids=[second.run.run_id]) == [second.run.run_id]
        assert await woken(journal) == [first.run.run_id]

    backend.using(body)


def test_no_more_are_woken_than_asked_for(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        child = await claimed(journal)
        ids = {(await suspended(journal, children=[child.run.run_id])).run.run_id for _ in range(7)}
        await journal.commit(write_of(child, **ending()))
        assert list(await journal.wake(0)) == []
        parts = [[hint.run_id for hint in await journal.wake(3)] for _ in range(4)]
        assert [len(part) for part in parts] == [3, 3, 1, 0]
        assert {run_id for part in parts for run_id in part} == ids

    backend.using(body)


def test_each_run_is_woken_by_one_of_several(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        now = (await claimed(journal)).run.created_at
        ids = [(await suspended(journal, until=now + 1.0)).run.run_id for _ in range(20)]

        async def is_time() -> bool:
            return (await claimed(journal)).run.created_at > now + 1.1

        await until(is_time)
        parts = await asyncio.gather(*(journal.wake(100) for _ in range(6)))
        waited = [hint.run_id for part in parts for hint in part]
        queued = {h.run_id for h in await journal.unsent(frozenset(), 1000, 100)}
        assert sorted({*waited, *queued}) == sorted(ids)
        assert len(waited) + len(queued) == len(ids)

    backend.using(body)


@pytest.mark.parametrize(
    "end",
    [
        RunEnd(state=RunState.WAITING),
        RunEnd(state=RunState.WAITING, waits=Waits()),
        RunEnd(state=RunState.WAITING, waits=Waits(singleton="k")),
        RunEnd(state=RunState.WAITING, waits=Waits(until=float("nan"))),
        RunEnd(state=RunState.WAITING, waits=Waits(signals={"nul\x00": 0})),
        RunEnd(state=RunState.WAITING, waits=Waits(children=["nul\x00"])),
        RunEnd(state=RunState.QUEUED, waits=Waits(until=1)),
    ],
)
def test_waits_that_make_no_sense_are_refused(backend: Backend, end: RunEnd) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        with pytest.raises(InvalidInput):
            await journal.commit(write_of(claim, end=end))
        assert await state_of(journal, claim.run.run_id) is RunState.RUNNING

    backend.using(body)


def test_a_stale_owner_cannot_suspend(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        await journal.retire("w1")
        await journal.rescue(3)
        await journal.beat(a_worker("w2"), 60)
        assert await journal.claim(claim.run.run_id, "w2") is not None
        with pytest.raises(Fenced):
            await journal.commit(write_of(claim, **waiting(until=FUTURE)))
        assert await state_of(journal, claim.run.run_id) is RunState.RUNNING

    backend.using(body)


def test_ended_returns_those_that_have(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        done = await ended(journal)
        dead = await ended(journal, RunState.DEAD)
        active = await accepted(journal)
        waits = (await suspended(journal, until=FUTURE)).run.run_id
        found = await journal.ended([done, active, dead, "unknown", waits, done])
        assert sorted(run.run_id for run in found) == sorted([done, dead])
        assert [run for run in found if run.run_id == done] == [await journal.run(done)]
        assert list(await journal.ended([])) == []

    backend.using(body)


def test_postgres_finds_the_runs_whose_time_has_come_by_their_index(
    new_postgres_database: Callable[[], str],
) -> None:
    """However many wait: a time that it would have to ask for with every row costs all of them."""
    backend = Backend("postgres", new_postgres_database())
    told: list[str] = []

    async def body(journal: Journal) -> None:
        await suspended(journal, until=FUTURE)
        assert isinstance(journal, SqlJournal)
        with journal._engines[1].connect() as connection:
            statement = _TIMED.compile(connection)
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", {"limit": 10})
            told.extend(line for (line,) in plan)

    backend.using(body)
    assert any("Index Cond: (wake_at <=" in line for line in told), told
