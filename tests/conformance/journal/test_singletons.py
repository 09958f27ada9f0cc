"""At most one active run per singleton key; the others are refused, join it or stand in line."""

import asyncio
from typing import Any

import pytest

from envelope.errors import IdempotencyConflict, InvalidInput, SingletonConflict
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import (
    Accepted,
    RunFilter,
    RunState,
    Waits,
)
from tests.conformance.journal.making import (
    Backend,
    a_run,
    a_worker,
    accepted,
    claimed,
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


async def finish(journal: Journal, run_id: str, state: RunState = RunState.SUCCEEDED) -> None:
    """Let a queued run take place and end."""
    await journal.beat(a_worker(), 60)
    claim = await journal.claim(run_id, "w1")
    assert claim is not None
    await journal.commit(write_of(claim, **ending(state)))


def test_the_first_run_of_a_key_does_not_wait(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        first = await journal.accept(a_run("first", singleton="k"))
        assert first == Accepted(run_id="first", created=True)
        other = await journal.accept(a_run("other", singleton="K"))
        assert other == Accepted(run_id="other", created=True)
        run = await journal.run("first")
        assert run is not None
        assert (run.singleton, run.state, run.waits) == ("k", RunState.QUEUED, None)
        assert await types(journal, "first") == ["run.queued"]

    backend.using(body)


@pytest.mark.parametrize("policy", ["queue", "replace"])
def test_a_run_of_a_taken_key_waits_for_its_holder(backend: Backend, policy: str) -> None:
    async def body(journal: Journal) -> None:
        holder = await accepted(journal, singleton="k")
        second = await journal.accept(a_run("second", singleton="k", on_conflict=policy))
        assert second == Accepted(run_id="second", created=True, behind=holder)
        run = await journal.run("second")
        assert run is not None
        assert (run.state, run.waits) == (RunState.WAITING, Waits(singleton="k"))
        event = {"singleton": "k", "behind": holder}
        assert await last_event(journal, "second") == ("run.waiting", event)
        await journal.beat(a_worker(), 60)
        assert await journal.claim("second", "w1") is None
        assert await woken(journal) == []
        await finish(journal, holder)
        assert await woken(journal) == ["second"]
        told = await last_event(journal, "second")
        assert told == ("run.woken", {"why": "singleton", "singleton": "k"})
        assert await woken(journal) == []
        await finish(journal, "second")
        assert (await types(journal, "second"))[-2:] == ["run.started", "run.succeeded"]
        assert await woken(journal) == []

    backend.using(body)


def test_a_run_that_would_rather_not_be_than_wait_is_refused(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        holder = await accepted(journal, singleton="k")
        with pytest.raises(SingletonConflict) as caught:
            await journal.accept(a_run("second", singleton="k", on_conflict="reject"))
        assert (caught.value.key, caught.value.run_id) == ("k", holder)
        assert await journal.run("second") is None
        await finish(journal, holder)
        assert (await journal.accept(a_run("third", singleton="k", on_conflict="reject"))).created

    backend.using(body)


def test_a_run_that_joins_stands_for_the_holder(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        holder = await accepted(journal, singleton="k")
        joined = await journal.accept(a_run("second", singleton="k", on_conflict="join"))
        assert joined == Accepted(run_id=holder, created=False)
        assert await journal.run("second") is None
        await finish(journal, holder)
        assert (await journal.accept(a_run("third", singleton="k", on_conflict="join"))).created

    backend.using(body)


def test_the_holder_keeps_its_key_while_it_waits_runs_or_is_lost(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal, singleton="k")
        holder = claim.run.run_id
        second = await accepted(journal, singleton="k")
        await journal.commit(write_of(claim, **waiting(signals={"go": 0})))
        assert await woken(journal, run_ids=[second]) == []
        await journal.signal(holder, "go", "1")
        await journal.claim(holder, "w1")
        await journal.retire("w1")
        await journal.rescue(3)
        assert await state_of(journal, holder) is RunState.QUEUED
        assert await woken(journal) == []
        await finish(journal, holder, RunState.FAILED)
        assert await woken(journal) == [second]

    backend.using(body)


def test_the_line_goes_by_priority_then_by_acceptance(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        holder = await accepted(journal, singleton="k")
        ids = {
            name: await accepted(journal, singleton="k", priority=priority)
            for name, priority in (("low", -1), ("first", 0), ("second", 0), ("high", 9))
        }
        order = []
        while holder:
            await finish(journal, holder)
            holder = "".join(await woken(journal))
            order.append(holder)
        assert order == [ids["high"], ids["first"], ids["second"], ids["low"], ""]

    backend.using(body)


def test_a_run_does_not_overtake_those_in_line_for_a_free_key(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        holder = await accepted(journal, singleton="k")
        second = await accepted(journal, singleton="k")
        third = await accepted(journal, singleton="k")
        await finish(journal, holder)
        late = await journal.accept(a_run("late", singleton="k"))
        assert late == Accepted(run_id="late", created=True, behind=second)
        with pytest.raises(SingletonConflict, match=second):
            await journal.accept(a_run(singleton="k", on_conflict="reject"))
        joined = await journal.accept(a_run(singleton="k", on_conflict="join"))
        assert joined == Accepted(run_id=second, created=False)
        assert await woken(journal, run_ids=["late", third]) == []
        assert await woken(journal) == [second]

    backend.using(body)


def test_one_who_leaves_the_line_is_not_waited_for(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        holder = await accepted(journal, singleton="k")
        second = await accepted(journal, singleton="k")
        third = await accepted(journal, singleton="k")
        await journal.cancel(second, "why")
        assert await woken(journal) == []
        await journal.cancel(holder, "why")
        assert await woken(journal) == [third]
        await journal.cancel(third, "why")
        assert await woken(journal) == []
        assert (await journal.accept(a_run("last", singleton="k"))).behind is None

    backend.using(body)


def test_the_line_is_remembered_until_its_first_was_woken(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        await journal.beat(a_worker(), 60)
        keys = ["k1", "k2", "k3"]
        holders = [await accepted(journal, singleton=key) for key in keys]
        behind = {await accepted(journal, singleton=key) for key in keys}
        parent = await suspended(journal, children=holders)
        for holder in holders:
            await finish(journal, holder)
        assert await woken(journal, run_ids=[parent.run.run_id]) == [parent.run.run_id]
        first = [[hint.run_id for hint in await journal.wake(1)] for _ in range(4)]
        assert {run_id for part in first for run_id in part} == behind
        assert [len(part) for part in first] == [1, 1, 1, 0]

    backend.using(body)


def test_a_delayed_run_takes_its_place_at_acceptance(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        holder = await accepted(journal, singleton="k")
        delayed = await accepted(journal, singleton="k", delay_seconds=1000)
        third = await accepted(journal, singleton="k")
        await finish(journal, holder)
        assert await woken(journal) == []  # nothing to be sent before its time
        assert await state_of(journal, delayed) is RunState.QUEUED
        assert (await last_event(journal, delayed))[0] == "run.woken"
        assert list(await journal.unsent(frozenset(), 0, 10)) == []
        assert await state_of(journal, third) is RunState.WAITING

    backend.using(body)


def test_the_idempotency_key_is_asked_first(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        holder = await accepted(journal, singleton="k", key="i")
        same = await journal.accept(a_run(singleton="k", key="i", on_conflict="reject"))
        assert same == Accepted(run_id=holder, created=False)
        with pytest.raises(IdempotencyConflict):
            await journal.accept(a_run(singleton="k", key="i", payload_sha256="c" * 64))
        second = await journal.accept(a_run(singleton="k", key="j"))
        again = await journal.accept(a_run(singleton="k", key="j"))
        assert (again.run_id, again.created, again.behind) == (second.run_id, False, None)

    backend.using(body)


def test_a_batch_of_one_key_has_one_holder(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        runs = [a_run(singleton="k") for _ in range(30)] + [a_run() for _ in range(10)]
        results = await asyncio.gather(*map(journal.accept, runs))
        holders = [r.run_id for r in results[:30] if r.behind is None]
        assert len(holders) == 1
        assert {r.behind for r in results[:30]} == {None, holders[0]}
        assert await journal.counts() == {"lead": {"queued": 11, "waiting": 29}}
        joined = await asyncio.gather(
            *(journal.accept(a_run(singleton="j", on_conflict="join")) for _ in range(20))
        )
        assert len({result.run_id for result in joined}) == 1
        assert sum(result.created for result in joined) == 1

    backend.using(body)


def test_ends_and_arrivals_at_once_leave_one_holder(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        await journal.beat(a_worker(), 60)
        done = 0
        for _ in range(15):
            await asyncio.gather(
                journal.wake(10), *(journal.accept(a_run(singleton="k")) for _ in range(2))
            )
            active = await _active(journal)
            assert len(active) <= 1
            for run_id in active:
                claim = await journal.claim(run_id, "w1")
                assert claim is not None
                commit = write_of(claim, **ending())
                new = a_run(singleton="k")
                await asyncio.gather(
                    journal.wake(10), journal.commit(commit), journal.accept(new), journal.wake(10)
                )
                done += 1
        assert done >= 10

        async def is_empty() -> bool:
            await journal.wake(10)
            for run_id in await _active(journal):
                await finish(journal, run_id)
            return not await journal.runs(RunFilter(states=frozenset({RunState.WAITING})))

        await until(is_empty)

    backend.using(body)


async def _active(journal: Journal) -> list[str]:
    states = frozenset({RunState.QUEUED, RunState.RUNNING})
    return [run.run_id for run in await journal.runs(RunFilter(states=states, singleton="k"))]


@pytest.mark.parametrize(
    "fields",
    [
        {"singleton": "nul\x00"},
        {"singleton": "k" * 2001},
        {"singleton": "k", "on_conflict": "fight"},
    ],
)
def test_keys_and_policies_that_make_no_sense_are_refused(
    backend: Backend, fields: dict[str, Any]
) -> None:
    async def body(journal: Journal) -> None:
        with pytest.raises(InvalidInput):
            await journal.accept(a_run(**fields))
        assert await journal.counts() == {}

    backend.using(body)


def test_a_long_key_is_a_key_as_any_other(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        key = "".join(chr(33 + (n * 7919) % 90) for n in range(2000))
        holder = await accepted(journal, singleton=key)
        assert (await journal.accept(a_run(singleton=key))).behind == holder

    backend.using(body)
