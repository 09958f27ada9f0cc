"""Runs that wait hold nothing, survive everything, and go on when what they wait for has come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator

import pytest

from envelope.ports.journal_rows import RunFilter, RunState
from envelope.ports.journal_writes import Replay
from orchestrators.inline import run_inline
from tests.rig.engine_rig import Rig, checked_events, rigged
from tests.rig.flows import CALLS, GATES, SWITCH, reset
from tests.rig.waiting_flows import HOUR

NIGHT = 8 * HOUR


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    reset()
    yield
    reset()


def run(body: Callable[[Rig], Awaitable[None]]) -> None:
    async def go() -> None:
        async with rigged() as rig:
            await body(rig)

    asyncio.run(go())


async def state_of(rig: Rig, run_id: str) -> RunState:
    return (await rig.run(run_id)).state


async def until_waiting(rig: Rig, run_id: str) -> None:
    async def waiting() -> bool:
        return await state_of(rig, run_id) is RunState.WAITING

    await rig.until(waiting, "the run is suspended")


async def started(rig: Rig, flow: str, text: str = "x", **more: object) -> str:
    """Accept a run and let a worker begin with it."""
    run_id = await rig.accept(flow, {"text": text}, **more)
    await rig.execute(run_id)
    return run_id


def test_a_night_s_sleep_holds_no_worker_and_survives_the_loss_of_all() -> None:
    async def body(rig: Rig) -> None:
        run_id = await started(rig, "napping")
        run = await rig.run(run_id)
        assert run.state is RunState.WAITING
        assert run.owner is None
        assert not rig.worker("a").engine.running
        rig.time.advance(NIGHT - 60)
        await rig.worker("b").lease.take()
        await rig.worker("b").reconciler.round()
        assert await state_of(rig, run_id) is RunState.WAITING
        rig.consumer = "b"
        rig.time.advance(61)
        await rig.worker("b").reconciler.round()
        done = await rig.until_ended(run_id)
        assert done.state is RunState.SUCCEEDED
        assert CALLS == {"before": 1, "after": 1}
        kinds = checked_events(await rig.events(run_id))
        assert kinds.count("run.waiting") == kinds.count("run.woken") == 1

    run(body)


def test_a_signal_wakes_a_run_and_one_sent_before_is_kept() -> None:
    async def body(rig: Rig) -> None:
        run_id = await rig.accept("asking-twice", {"text": "x"})
        await rig.journal.signal(run_id, "other", '"not for us"')
        await rig.journal.signal(run_id, "answer", '{"early": true}')
        await rig.execute(run_id)
        await until_waiting(rig, run_id)
        done = await rig.journal.signal(run_id, "answer", '"late"')
        assert done.woken
        await rig.execute(run_id, "b")
        made = json.loads((await rig.run(run_id)).envelope or "")
        assert made["records"][0]["data"] == {"first": {"early": True}, "second": "late"}

    run(body)


def test_a_wait_that_times_out_says_so_and_a_later_signal_changes_nothing() -> None:
    async def body(rig: Rig) -> None:
        run_id = await rig.accept("asking-twice", {"text": "x"})
        await rig.journal.signal(run_id, "answer", "1")
        await rig.execute(run_id)
        await until_waiting(rig, run_id)
        rig.time.advance(HOUR + 1)
        await rig.worker("b").lease.take()
        await rig.worker("b").reconciler.round()
        done = await rig.until_ended(run_id)
        record = json.loads(done.envelope or "")["records"][0]["data"]
        assert record == {"first": 1, "second": "none came"}

    run(body)


def test_a_run_with_a_step_under_way_stays_and_takes_its_signal_here() -> None:
    async def body(rig: Rig) -> None:
        run_id = await rig.accept("busy-asking", {"text": "work"})
        task = asyncio.create_task(rig.execute(run_id))

        async def working() -> bool:
            return CALLS["work"] == 1

        await rig.until(working, "the branch works")
        sent = await rig.journal.signal(run_id, "answer", "42")
        assert not sent.woken
        rig.wakeups.notify("a", f"signal {run_id}")
        GATES["work"].set()
        assert await task is RunState.SUCCEEDED
        assert "run.waiting" not in checked_events(await rig.events(run_id))

    run(body)


def test_children_run_once_and_wake_their_parent() -> None:
    async def body(rig: Rig) -> None:
        run_id = await started(rig, "parent", "asking-twice")
        await until_waiting(rig, run_id)
        for step in ("left", "right"):
            child = await child_of(rig, run_id, step)
            await until_waiting(rig, child)
            await rig.journal.signal(child, "answer", f'"{step}"')
            await rig.journal.signal(child, "answer", '"end"')
            await rig.worker("a").reconciler.round()
            await rig.execute(child)
            await rig.until_ended(child)
        done = await rig.until_ended(run_id)
        assert done.state is RunState.SUCCEEDED
        records = [record["data"] for record in json.loads(done.envelope or "")["records"]]
        assert [record["first"] for record in records] == ["left", "right"]

    run(body)


@pytest.mark.parametrize("away", [False, True])
def test_a_child_is_noted_as_sent_where_it_was(away: bool) -> None:
    async def body(rig: Rig) -> None:
        rig.queue.losing, rig.queue.away = True, away
        run_id = await rig.accept("parent", {"text": "asking-twice"})
        await rig.execute(run_id)
        await until_waiting(rig, run_id)
        children = [await child_of(rig, run_id, text) for text in ("left", "right")]
        sends = [(await rig.run(child)).sends for child in children]
        unsent = await rig.journal.unsent(frozenset(), 1_000, 10)
        if away:
            assert sends == [0, 0]
            assert sorted(hint.run_id for hint in unsent) == sorted(children)
        else:
            assert sends == [1, 1]
            assert list(unsent) == []
            assert sorted(hint.run_id for hint in rig.queue.sent) == sorted(children)

    run(body)


async def child_of(rig: Rig, parent: str, text: str) -> str:
    rows = await rig.journal.runs(RunFilter(parent_id=parent))
    return next(row.run_id for row in rows if text in row.payload)


def test_a_child_that_fails_is_an_error_in_its_parent() -> None:
    async def body(rig: Rig) -> None:
        run_id = await started(rig, "forgiving-parent", "one")
        done = await rig.until_ended(run_id)
        record = json.loads(done.envelope or "")["records"][0]["data"]
        assert record == {"failed": "TASK_EXECUTION_FAILED"}

    run(body)


def test_a_cancelled_run_undoes_what_it_did_even_on_another_worker() -> None:
    async def body(rig: Rig) -> None:
        run_id = await rig.accept("undoing", {"text": "x"})
        first = asyncio.create_task(rig.execute(run_id, "a"))

        async def paying() -> bool:
            return CALLS["pay"] == 1

        await rig.until(paying, "the payment is under way")
        await rig.journal.cancel(run_id, "changed our mind")
        await rig.worker("a").lease.take()

        async def unbooking() -> bool:
            return CALLS["unbook"] == 1

        await rig.until(unbooking, "the compensation has come to its second step")
        await rig.worker("a").lease.take()  # asked again: the compensation goes on
        await rig.lose("a")
        await rig.worker("b").reconciler.round()
        GATES["unbook"].set()
        rig.consumer = "b"
        done = await rig.until_ended(run_id)
        assert done.state is RunState.CANCELLED
        assert CALLS["book"] == CALLS["refund"] == 1
        assert CALLS["pay"] == 1
        steps = await rig.steps(run_id)
        assert steps["refund"].kind == steps["unbook"].kind == "undo"
        checked_events(await rig.events(run_id))
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    run(body)


def test_a_cancelled_wait_ends_the_run_and_its_children() -> None:
    async def body(rig: Rig) -> None:
        run_id = await started(rig, "parent", "asking-twice")
        await until_waiting(rig, run_id)
        children = [await child_of(rig, run_id, text) for text in ("left", "right")]
        for child in children:
            await until_waiting(rig, child)
        await rig.journal.cancel(run_id, "enough")
        for one in (*children, run_id):
            await rig.execute(one, "b")
            assert await state_of(rig, one) is RunState.CANCELLED

    run(body)


def test_a_lock_of_a_flow_keeps_others_out() -> None:
    async def body(rig: Rig) -> None:
        first = await rig.accept("locking-crm", {"text": "one"})
        second = await rig.accept("locking-crm", {"text": "two"})
        tasks = [asyncio.create_task(rig.execute(first))]

        async def begun() -> bool:
            return CALLS["one"] == 1

        await rig.until(begun, "the first works")
        tasks.append(asyncio.create_task(rig.execute(second, "b")))

        async def queued() -> bool:
            return len(rig.worker("b").engine.running) == 1

        await rig.until(queued, "the second runs")
        held = await rig.locks.held()
        assert [lock.owner for lock in held] == [first]
        assert CALLS["two"] == 0
        GATES["one"].set()
        GATES["two"].set()
        await asyncio.gather(*tasks)
        assert await rig.locks.held() == []

    run(body)


def test_a_run_that_lost_its_lock_goes_on_when_it_has_it_again() -> None:
    async def body(rig: Rig) -> None:
        lost = asyncio.Event()
        with_lock = await rig.accept("locking-crm", {"text": "one"})
        run_id, rig.locks.until_lost = with_lock, _first(lost)  # type: ignore[method-assign]
        task = asyncio.create_task(rig.execute(run_id))

        async def begun() -> bool:
            return CALLS["one"] == 1

        await rig.until(begun, "it works under its lock")
        await rig.locks.release("crm", run_id)  # as if its term were over
        await rig.locks.acquire("crm", owner="another")
        lost.set()

        async def given_back() -> bool:
            return not rig.worker("a").engine.running

        await rig.until(given_back, "the run is given back")
        assert await task is RunState.QUEUED
        again = asyncio.create_task(rig.execute(run_id, "b"))
        GATES["one"].set()
        await rig.locks.release("crm", "another")
        assert await again is RunState.SUCCEEDED

    run(body)


def _first(lost: asyncio.Event) -> Callable[[str, str], Awaitable[None]]:
    """Tell the first who asks of a loss, and nobody after."""
    asked = 0

    async def until_lost(_key: str, _owner: str) -> None:
        nonlocal asked
        asked += 1
        await (lost.wait() if asked == 1 else asyncio.Event().wait())

    return until_lost


@pytest.mark.parametrize("flow", ["many", "streaming"])
def test_a_wide_map_keeps_its_order_and_counts_its_progress(flow: str) -> None:
    async def body(rig: Rig) -> None:
        done = await rig.finish(flow, {"count": 200, "limit": 7})
        assert done.state is RunState.SUCCEEDED
        assert json.loads(done.envelope or "")["records"][0]["data"]["done"] == 200
        told = [json.loads(e.data) for e in await rig.events(done.run_id) if "map" in e.type]
        if flow == "many":
            assert [data["done"] for data in told] == list(range(10, 201, 10))

    run(body)


def test_a_map_collects_failures_where_it_is_told_to() -> None:
    async def body(rig: Rig) -> None:
        def fail() -> None:
            raise ValueError("bad item")

        SWITCH["item 3"] = fail
        done = await rig.finish("many", {"count": 5, "collect": True})
        data = json.loads(done.envelope or "")["records"][0]["data"]
        assert data == {"done": 5, "failed": 1}
        failed = await rig.finish("many", {"count": 5})
        assert failed.state is RunState.FAILED

    run(body)


def test_the_same_flows_run_with_nothing_at_all() -> None:
    async def no_sleep(seconds: float) -> None:
        assert seconds == NIGHT

    made = asyncio.run(run_inline("napping", {"text": "x"}, sleep=no_sleep))
    assert [record.data["text"] for record in made.records] == ["BEFORE", "AFTER"]
    asked = asyncio.run(run_inline("asking-twice", {"text": "x"}, signals={"answer": [1]}))
    assert asked.records[0].data == {"first": 1, "second": "none came"}
    both = asyncio.run(
        run_inline("parent", {"text": "asking-twice"}, signals={"answer": [1, 2, 3, 4]})
    )
    assert len(both.records) == 2


def test_a_replay_asks_again_where_the_first_run_waited_in_vain() -> None:
    async def body(rig: Rig) -> None:
        before = await rig.accept("asking-twice", {"text": "x"})
        await rig.journal.signal(before, "answer", "1")
        await rig.execute(before)
        await until_waiting(rig, before)
        rig.time.advance(HOUR + 1)
        await rig.worker("b").lease.take()
        await rig.worker("b").reconciler.round()
        await rig.until_ended(before)
        again = await rig.accept("asking-twice", {"text": "x"}, replay=Replay(run_id=before))
        await rig.execute(again, "b")
        await until_waiting(rig, again)
        assert (await rig.journal.signal(again, "answer", "2")).woken
        await rig.execute(again, "b")
        record = json.loads((await rig.run(again)).envelope or "")["records"][0]["data"]
        assert record == {"first": 1, "second": 2}

    run(body)


def test_a_replayed_parent_repeats_what_failed_in_its_child_alone() -> None:
    async def body(rig: Rig) -> None:
        def fail() -> None:
            raise ValueError("not today")

        SWITCH["late"] = fail
        before = await started(rig, "trusting-parent", "late")
        ended = await rig.until_ended(before)
        assert ended.state is RunState.FAILED
        assert "not today" in str(ended.trace)
        del SWITCH["late"]
        again = await rig.accept("trusting-parent", {"text": "late"}, replay=Replay(run_id=before))
        await rig.execute(again)
        assert (await rig.until_ended(again)).state is RunState.SUCCEEDED
        assert CALLS == {"early": 1, "late": 2}
        child = (await rig.journal.runs(RunFilter(parent_id=again)))[0]
        assert child.replay_of is not None

    run(body)
