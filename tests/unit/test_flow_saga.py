"""Sagas: what was done is undone, when an action fails and when the run is cancelled."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from envelope import Envelope, Failure
from envelope.ports.journal_rows import RunState
from orchestrators import run_inline
from orchestrators.flow import Fallback, Node, Retry, Saga, SagaFailed, Timeout, Undo
from tests.rig.engine_rig import Rig, checked_events, rigged
from tests.rig.flow_flows import (
    DONE,
    FAIL,
    FLOW,
    GATES,
    always,
    bury,
    leaf,
    mortal,
    patient,
    registered,
    reset,
    settled_slots,
    taken_over,
    texts,
    trail_of_run,
    under_way,
    until_done,
    until_state,
)

HOUR = 3_600.0
EXECUTED = {"agent", "undo"}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    reset()
    FAIL["bad"] = always
    yield
    reset()


def run(body: Callable[[Rig], Awaitable[None]]) -> None:
    async def go() -> None:
        async with rigged() as rig:
            await body(rig)

    asyncio.run(go())


def saga(*actions: str, name: str = "order") -> Saga:
    """Each action is undone by a step of the text `un` and its own."""
    return Saga(*((leaf(text), leaf(f"un{text}")) for text in actions), name=name)


def undone() -> list[str]:
    """What was compensated, in order."""
    return [text for text, _ in DONE if text.startswith("un")]


async def cancelled(rig: Rig, run_id: str, worker: str = "a") -> None:
    """Cancel a run, and let its worker know."""
    await rig.journal.cancel(run_id, "changed our mind")
    await rig.worker(worker).lease.take()


def test_a_failed_action_undoes_those_before_it_in_reverse_order() -> None:
    registered(saga("a", "b", "bad", "c"))
    with pytest.raises(SagaFailed) as caught:
        asyncio.run(run_inline(FLOW, {}))
    assert [text for text, _ in DONE] == ["a", "b", "bad", "unb", "una"]
    error = caught.value
    assert (error.failed, error.succeeded, error.undone) == (
        "flow-leaf 3",
        ("flow-leaf", "flow-leaf 2"),
        ("flow-leaf 2", "flow-leaf"),
    )
    assert (error.not_undone, error.cancelled) == ({}, False)
    assert "ValueError: bad fails" in str(error)
    assert error.failure.details["cause"] == "TASK_EXECUTION_FAILED"


def test_a_failed_compensation_stops_no_other_and_is_reported() -> None:
    FAIL["unb"] = always
    registered(saga("a", "b", "c", "bad"))
    with pytest.raises(SagaFailed, match=r"Not undone, see to it: 'flow-leaf 2'") as caught:
        asyncio.run(run_inline(FLOW, {}))
    assert undone() == ["unc", "unb", "una"]
    assert list(caught.value.not_undone) == ["flow-leaf 2"]
    assert caught.value.undone == ("flow-leaf 3", "flow-leaf")


def test_a_compensation_gets_what_its_action_was_given_and_returned() -> None:
    undos: list[Undo] = []

    async def undo(ctx: Any, value: Undo) -> None:
        undos.append(value)

    registered(Saga((leaf("a", key="book"), undo), (leaf("bad"), undo)))
    with pytest.raises(SagaFailed):
        asyncio.run(run_inline(FLOW, {"trail": ["given"]}))
    (one,) = undos
    assert one.action == "book"
    assert one.value.trail == ["given"]
    assert one.result.records[0].data["trail"] == ["given", "a"]


def test_values_pass_from_action_to_action_and_nothing_is_undone() -> None:
    registered(saga("a", "b", "c"))
    made = asyncio.run(run_inline(FLOW, {}))
    assert made.records[0].data["trail"] == ["a", "b", "c"]
    assert undone() == []


def test_a_cancelled_task_compensates_however_often_it_is_cancelled() -> None:
    registered(Saga((leaf("a"), leaf("gate una")), (leaf("gate b"), leaf("unb"))))

    async def body() -> None:
        task = asyncio.create_task(run_inline(FLOW, {}))
        await _until(lambda: texts()["gate b"])
        task.cancel()
        await _until(lambda: texts()["gate una"])
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.01)
        assert not task.done()
        GATES["gate una"].set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [text for text, _ in DONE] == ["a", "gate b", "unb", "gate una"]

    asyncio.run(body())


async def _until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0)


def test_a_cancelled_run_is_undone_with_the_action_that_was_under_way() -> None:
    async def body(rig: Rig) -> None:
        registered(saga("a", "b", "gate c", "d"))
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id) as running:
            await until_done(rig, "gate c")
            await cancelled(rig, run_id)
            assert await running is RunState.CANCELLED
        assert undone() == ["ungate c", "unb", "una"]
        steps = await rig.steps(run_id)
        assert {step.kind for name, step in steps.items() if "undo" in name and step.agent} == {
            "undo"
        }
        kinds = checked_events(await rig.events(run_id))
        assert kinds.count("saga.undone") == 1

    run(body)


def test_a_cancelled_run_tells_what_could_not_be_undone_however_deep_it_was() -> None:
    async def body(rig: Rig) -> None:
        FAIL["una"] = always
        deep = Fallback(Retry(Timeout(saga("a", "gate b") | leaf("x"), HOUR)), leaf("other way"))
        registered(Saga((leaf("outer"), leaf("unouter")), (deep, None), name="outer"))
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id) as running:
            await until_done(rig, "gate b")
            await cancelled(rig, run_id)
            assert await running is RunState.CANCELLED
        assert undone() == ["ungate b", "una", "unouter"]
        assert texts()["other way"] == 0, "a cancellation is no failure that another way mends"
        told = [json.loads(e.data) for e in await rig.events(run_id) if e.type == "saga.undone"]
        assert [saga["not_undone"] for saga in told] == [
            {"flow-leaf": "ValueError: una fails"},
            {"order: flow-leaf": "ValueError: una fails"},
        ]
        failure = Failure.model_validate_json((await rig.run(run_id)).failure or "")
        assert "una fails" in failure.message

    run(body)


def test_a_run_says_at_its_end_that_a_compensation_failed() -> None:
    async def body(rig: Rig) -> None:
        FAIL["una"] = always
        registered(Retry(saga("a", "gate b") | leaf("x")))
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id) as running:
            await until_done(rig, "gate b")
            await cancelled(rig, run_id)
            assert await running is RunState.CANCELLED
        failure = Failure.model_validate_json((await rig.run(run_id)).failure or "")
        assert "changed our mind" in failure.message
        assert "una fails" in failure.message

    run(body)


def test_a_cancellation_does_not_interrupt_a_compensation() -> None:
    async def body(rig: Rig) -> None:
        pairs = [(leaf("a"), leaf("una")), (leaf("b"), leaf("gate unb")), (leaf("bad"), None)]
        registered(Saga(*pairs))
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id) as running:
            await until_done(rig, "gate unb")
            await cancelled(rig, run_id)
            await cancelled(rig, run_id)
            GATES["gate unb"].set()
            assert await running is RunState.CANCELLED
        assert texts() == {"a": 1, "b": 1, "bad": 1, "gate unb": 1, "una": 1}

    run(body)


def test_a_queued_compensation_that_the_cancellation_stopped_is_done_once_more() -> None:
    async def body(rig: Rig) -> None:
        registered(Saga((leaf("a"), leaf("gate una", agent="flow-far")), (leaf("bad"), None)))
        run_id = await rig.accept(FLOW, {})
        rig.consumer = "b"
        async with under_way(rig, run_id) as running:
            await until_done(rig, "gate una")
            await cancelled(rig, run_id)
            await rig.worker("b").lease.take()
            await until_done(rig, "gate una", 2)
            GATES["gate una"].set()
            await rig.worker("a").engine.waiting.look(may_judge=True)
            assert await running is RunState.CANCELLED
        failure = Failure.model_validate_json((await rig.run(run_id)).failure or "")
        assert failure.message == "changed our mind"

    run(body)


def test_a_run_that_is_given_back_undoes_nothing() -> None:
    async def body(rig: Rig) -> None:
        registered(saga("a", "gate b", "c"))
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id) as running:
            await until_done(rig, "gate b")
            running.cancel()
            await until_state(rig, run_id, RunState.QUEUED)
        assert undone() == []
        GATES["gate b"].set()
        assert await rig.execute(run_id, "b") is RunState.SUCCEEDED
        assert texts() == {"a": 1, "gate b": 2, "c": 1}

    run(body)


@pytest.mark.parametrize("after", [False, True], ids=["before a commit", "after a commit"])
@pytest.mark.parametrize("dies_at", range(1, 8))
def test_a_worker_that_dies_while_a_failed_saga_is_undone(dies_at: int, after: bool) -> None:
    """Three actions, of which the third fails, and two compensations: wherever it dies."""

    async def body(rig: Rig) -> None:
        registered(Fallback(saga("a", "b", "bad"), leaf("c")))
        run_id = await rig.accept(FLOW, {})
        mortal(rig, "mortal", dies_at, after=after)
        await rig.execute(run_id, "mortal")
        committed, before = await settled_slots(rig, run_id), len(DONE)
        if (await rig.run(run_id)).state is RunState.RUNNING:
            done = await taken_over(rig, run_id, "mortal")
            assert trail_of_run(done) == ["c"]
        assert not [done for done in DONE[before:] if done[1] in committed]
        assert {"una", "unb"} <= set(undone())

    run(body)


ABC = {"a": {"una"}, "b": {"unb"}, "c": {"unc"}}
NESTED: dict[str, tuple[Callable[[], Node], dict[str, set[str]]]] = {
    "alone": (lambda: saga("a", "b", "c"), ABC),
    "beside a branch": (lambda: saga("a", "b", "c") | leaf("x") >> leaf("y"), ABC),
    "beside a branch that waits": (lambda: saga("a", "b", "c") | _sleeping, ABC),
    "beside a branch that fails": (
        lambda: Fallback(saga("a", "b", "c") | leaf("x") >> leaf("bad"), leaf("y")),
        ABC,
    ),
    "in a timeout": (lambda: Timeout(saga("a", "b", "c"), HOUR), ABC),
    "within a saga": (
        lambda: Saga(
            (leaf("o"), leaf("uno")), (saga("a", "b"), leaf("uninner")), (leaf("c"), leaf("unc"))
        ),
        {"o": {"uno"}, "a": {"una", "uninner"}, "b": {"unb", "uninner"}, "c": {"unc"}},
    ),
    "of branches": (
        lambda: Saga((leaf("a") | leaf("b") >> leaf("c"), leaf("unabc")), (leaf("d"), leaf("und"))),
        {"a": {"unabc"}, "b": {"unabc"}, "c": {"unabc"}, "d": {"und"}},
    ),
}


async def _sleeping(ctx: Any, value: Any) -> Any:
    await ctx.sleep(HOUR)
    return value


@pytest.mark.parametrize("beside", [False, True])
def test_a_run_that_is_cancelled_while_it_waits_is_undone(beside: bool) -> None:
    """With another branch, the cancellation is told before the saga has read back its actions."""

    async def body(rig: Rig) -> None:
        pairs = [(leaf(text), leaf(f"un{text}")) for text in "abc"]
        waiting = Saga(*pairs, (_sleeping, leaf("unwait")))
        registered(waiting | _sleeping if beside else waiting)
        run_id = await rig.accept(FLOW, {})
        assert await rig.execute(run_id) is RunState.WAITING
        await rig.journal.cancel(run_id, "enough")
        assert await rig.execute(run_id, "b") is RunState.CANCELLED
        assert undone() == ["unwait", "unc", "unb", "una"]

    run(body)


def test_an_action_that_waited_is_undone_by_a_successor() -> None:
    async def body(rig: Rig) -> None:
        registered(Saga((leaf("a") >> _sleeping, leaf("una")), (leaf("gate b"), leaf("unb"))))
        rig.queue.losing = True
        run_id = await rig.accept(FLOW, {})
        assert await rig.execute(run_id) is RunState.WAITING
        rig.time.advance(2 * HOUR)
        await rig.worker("a").lease.take()
        await rig.worker("a").reconciler.round()
        async with under_way(rig, run_id):
            await until_done(rig, "gate b")
            await rig.journal.cancel(run_id, "enough")
            await bury(rig, "a")
            async with asyncio.timeout(1):
                assert await rig.execute(run_id, "b") is RunState.CANCELLED
        assert undone() == ["unb", "una"]

    run(body)


def test_a_compensation_may_wait() -> None:
    async def body(rig: Rig) -> None:
        async def slow(ctx: Any, value: Any) -> Any:
            await ctx.sleep(0.3)
            return await leaf("una")(ctx, value)

        registered(Saga((leaf("a"), slow), (leaf("gate b"), leaf("unb"))))
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id) as running:
            await until_done(rig, "gate b")
            await cancelled(rig, run_id)
            assert await running is RunState.CANCELLED
        assert undone() == ["unb", "una"]

    run(body)


@pytest.mark.parametrize("after", [False, True], ids=["before a commit", "after a commit"])
@pytest.mark.parametrize("name", NESTED)
@pytest.mark.parametrize("again", [None, 1, 2])
def test_a_run_that_is_cancelled_while_its_worker_is_dead_is_undone(
    name: str, after: bool, again: int | None
) -> None:
    """What was committed is undone, once; whatever else dies on the way."""

    async def body(dies_at: int) -> bool:
        reset()
        async with rigged() as rig:
            node, undoing = NESTED[name]
            registered(node())
            run_id = await rig.accept(FLOW, {})
            mortal(rig, "mortal", dies_at, after=after)
            if "waits" not in name:
                patient(rig, "mortal", "b")
            await rig.execute(run_id, "mortal")
            if (await rig.run(run_id)).state is not RunState.RUNNING:
                return False
            await rig.journal.cancel(run_id, "enough")
            if again is not None:
                await bury(rig, "mortal")
                mortal(rig, "second", again, after=not after)
                await rig.execute(run_id, "second")
            if (await rig.run(run_id)).state is RunState.RUNNING:
                await taken_over(rig, run_id, "mortal" if again is None else "second")
            done = await rig.run(run_id)
            assert done.state is RunState.CANCELLED, done.failure
            failure = Failure.model_validate_json(done.failure or "")
            assert failure.message == "enough"
            await _all_is_undone(rig, run_id, undoing)
            return True

    dies_at = 1
    while asyncio.run(body(dies_at)):
        dies_at += 1
    assert dies_at > 1


async def _all_is_undone(rig: Rig, run_id: str, undoing: dict[str, set[str]]) -> None:
    """What was committed was undone, and nothing was done or undone twice."""
    results = [step.result for step in await rig.journal.steps(run_id) if step.kind in EXECUTED]
    done = Counter(Envelope.from_json(text).metadata.source for text in results if text)
    assert set(done.values()) <= {1}, done
    for text, ways in undoing.items():
        assert not done[text] or any(done[way] for way in ways), f"{text} is not undone: {done}"
