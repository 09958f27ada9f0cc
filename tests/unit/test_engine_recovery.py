"""What a run does when its worker, its message or a wake-up is lost, and when its code changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from envelope import Envelope, Failure
from envelope.ports.journal_rows import RunState, StepState
from tests.rig import flows
from tests.rig.engine_rig import Rig, checked_events, rigged
from tests.rig.flows import CALLS, GATES, SWITCH


@pytest.fixture(autouse=True)
def fresh() -> None:
    flows.reset()


def test_a_lost_worker_s_run_goes_on_from_its_last_committed_step() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            run_id, zombie = await _stuck(rig, "three", "two")
            await rig.lose("a")
            (rescue,) = await rig.journal.rescue(3)
            assert (rescue.state, rescue.losses) == (RunState.QUEUED, 1)
            successor = asyncio.create_task(rig.execute(run_id, "b"))
            await rig.until(_calls("two", 2), "the successor repeats the step in flight")
            GATES["two"].set()
            assert await successor is RunState.SUCCEEDED
            assert await zombie is None, "the first owner's late result is refused"
            assert (CALLS["one"], CALLS["three"]) == (1, 1)
            run = await rig.run(run_id)
            assert run.losses == 0, "progress clears the losses"
            kinds = checked_events(await rig.events(run_id))
            assert kinds.count("three.progress") == 1, "a replay emits nothing twice"
            assert "run.lost" in kinds
            assert "run.resumed" in kinds

    asyncio.run(scenario())


def test_a_zombie_s_write_is_refused_even_before_a_successor_claims() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            run_id, zombie = await _stuck(rig, "three", "two")
            await rig.lose("a")
            await rig.journal.rescue(3)
            GATES["two"].set()
            assert await zombie is None
            second = (await rig.steps(run_id)).get("second")
            assert second is None or second.state is StepState.RUNNING
            assert CALLS["three"] == 0
            assert (await rig.run(run_id)).state is RunState.QUEUED
            assert await rig.execute(run_id, "b") is RunState.SUCCEEDED

    asyncio.run(scenario())


def test_a_beat_after_a_lapse_drops_what_others_took_and_nothing_else() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            _, taken = await _stuck(rig, "three", "two")
            await rig.lose("a")
            await rig.journal.rescue(3)
            engine = rig.worker("a").engine
            kept = asyncio.create_task(engine.execute(await rig.accept("three", {"text": "x"})))
            await rig.until(_calls("two", 2), "another run has begun under the lapsed lease")
            await rig.worker("a").lease.take()
            assert await taken is None
            assert not kept.done()
            GATES["two"].set()
            assert await kept is RunState.SUCCEEDED

    asyncio.run(scenario())


def test_a_replay_gives_recorded_values_and_branches_back() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            GATES["right"].set()
            run_id, _ = await _stuck(rig, "wide", "end")
            values = [s for s in await rig.journal.steps(run_id) if s.kind == "now"]
            await rig.lose("a")
            await rig.journal.rescue(3)
            GATES["end"].set()
            assert await rig.execute(run_id, "b") is RunState.SUCCEEDED
            assert [CALLS[f"item {n}"] for n in range(6)] == [1] * 6
            assert (CALLS["left"], CALLS["right"]) == (1, 1)
            facts = Envelope.from_json((await rig.run(run_id)).envelope or "").records[-1].data
            assert f'"{facts["now"]}"' in [value.result for value in values]
            steps = await rig.steps(run_id)
            assert {"#1/0/#1", "#1/1/#1", "#2/0", "#2/5", "#3"} <= steps.keys()

    asyncio.run(scenario())


def test_branches_that_a_failure_cut_off_need_not_be_met_again() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            run_id, _ = await _stuck(rig, "failing-branch", "two")
            await rig.lose("a")
            await rig.journal.rescue(3)
            GATES["two"].set()
            assert await rig.execute(run_id, "b") is RunState.SUCCEEDED
            assert CALLS["broken"] == 1

    asyncio.run(scenario())


async def _another_step(ctx: Any) -> Envelope:
    made: Envelope = await ctx.call("shout", {"text": "new"}, key="inserted")
    return made


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"first": lambda: "other"}, ["'#1'", "agent shout"]),
        ({"second": lambda: _another_step}, ["'gate'", "'inserted'"]),
    ],
)
def test_a_changed_flow_stops_with_an_error_that_names_both_steps(
    change: dict[str, Callable[[], Any]], named: list[str]
) -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            GATES["two"].set()
            SWITCH["two"] = lambda: None
            run_id = await rig.accept("changing", {"text": "x"})
            # The first execution commits every step, then loses its worker before its end.
            claim = asyncio.create_task(_execute_without_end(rig, run_id))
            await claim
            await rig.lose("a")
            await rig.journal.rescue(3)
            SWITCH.update(change)
            assert await rig.execute(run_id, "b") is RunState.FAILED
            failure = Failure.model_validate_json((await rig.run(run_id)).failure or "")
            assert failure.code == "NON_DETERMINISM"
            for name in named:
                assert name in failure.message
            assert CALLS["new"] == 0, "the changed code paid for nothing"

    asyncio.run(scenario())


def test_a_step_that_vanished_from_the_flow_is_noticed_at_the_end() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            GATES["two"].set()
            SWITCH["second"] = lambda: _another_step
            run_id = await rig.accept("changing", {"text": "x"})
            await _execute_without_end(rig, run_id)
            await rig.lose("a")
            await rig.journal.rescue(3)
            SWITCH.clear()
            assert await rig.execute(run_id, "b") is RunState.FAILED
            failure = Failure.model_validate_json((await rig.run(run_id)).failure or "")
            assert failure.code == "NON_DETERMINISM"
            assert "'inserted'" in failure.message

    asyncio.run(scenario())


def test_a_queued_step_runs_on_its_queue_and_wakes_the_run() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            rig.consumer = "b"
            run = await rig.finish("remote", {"text": "x"})
            assert run.state is RunState.SUCCEEDED
            steps = await rig.steps(run.run_id)
            assert steps["far"].executor == "b"
            assert not steps["far"].inline
            kinds = checked_events(await rig.events(run.run_id))
            assert kinds.count("far.progress") == 1
            assert [hint.step for hint in rig.queue.sent] == ["far"]

    asyncio.run(scenario())


def test_a_step_in_flight_is_adopted_when_its_run_moves() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            rig.consumer = "b"
            run_id, _ = await _stuck(rig, "remote", "gate far", text="gate far")
            await rig.lose("a")
            await rig.journal.rescue(3)
            rig.worker("c")
            successor = asyncio.create_task(rig.execute(run_id, "c"))
            await rig.until(_owned_by(rig, run_id, "c"), "the run has moved")
            GATES["gate far"].set()
            await rig.until(_settled(rig, run_id, "far"), "the step is settled")
            await rig.worker("c").engine.waiting.look(may_judge=True)
            assert await successor is RunState.SUCCEEDED
            assert CALLS["gate far"] == 1, "its executor lived, so it was not repeated"

    asyncio.run(scenario())


def test_a_step_whose_executor_died_is_sent_again() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            rig.consumer = "b"
            run_id, running = await _stuck(rig, "remote", "gate far", text="gate far")
            await rig.lose("b")
            rig.consumer = "a"
            await rig.worker("a").engine.waiting.look(may_judge=True)
            await rig.until(_calls("gate far", 2), "the step runs again")
            GATES["gate far"].set()
            assert await running is RunState.SUCCEEDED
            step = (await rig.steps(run_id))["far"]
            assert (step.executor, step.attempt, step.losses) == ("a", 2, 1)

    asyncio.run(scenario())


def test_a_lost_step_message_is_sent_again() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            rig.queue.losing = True
            run_id = await rig.accept("remote", {"text": "x"})
            running = asyncio.create_task(rig.execute(run_id))
            await rig.until(_sent(rig, 1), "the message was sent, and lost")
            rig.queue.losing = False
            waiting = rig.worker("a").engine.waiting
            for expected in waiting._expected.values():
                expected.sent_at -= 60
            await waiting.look(may_judge=True)
            assert await running is RunState.SUCCEEDED
            assert len(rig.queue.sent) == 2

    asyncio.run(scenario())


def test_a_step_that_is_executed_is_not_sent_again_and_its_permit_is_let_go() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            rig.consumer = "b"
            _, running = await _stuck(rig, "remote", "gate far", text="gate far")
            given_back: list[str] = []
            rig.permits.release = lambda *name: given_back.append(name[2])  # type: ignore[method-assign]  # seen, not done
            waiting = rig.worker("a").engine.waiting
            for _ in range(2):
                for expected in waiting._expected.values():
                    expected.sent_at -= 60
                await waiting.look(may_judge=True)
            assert given_back == ["far", "far"]
            assert len(rig.queue.sent) == 1
            GATES["gate far"].set()
            assert await running is RunState.SUCCEEDED

    asyncio.run(scenario())


def test_a_lost_wake_up_is_made_good_by_the_look() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            rig.wakeups.notify = lambda *_: None  # type: ignore[method-assign]  # lossy by contract
            rig.consumer = "b"  # what a process settles itself, it needs no wake-up for
            run_id = await rig.accept("remote", {"text": "x"})
            running = asyncio.create_task(rig.execute(run_id))
            await rig.until(_settled(rig, run_id, "far"), "the step is settled")
            assert not running.done()
            await rig.worker("a").engine.waiting.look(may_judge=True)
            assert await running is RunState.SUCCEEDED

    asyncio.run(scenario())


def test_the_reconciler_sends_runs_that_have_no_message() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            GATES["two"].set()
            run_id = await rig.accept("three", {"text": "x"})
            await rig.worker("a").reconciler.round()
            assert (await rig.until_ended(run_id)).state is RunState.SUCCEEDED
            sent = len(rig.queue.sent)
            await rig.worker("a").reconciler.round()
            assert len(rig.queue.sent) == sent

    asyncio.run(scenario())


async def _stuck(
    rig: Rig, flow: str, at: str, text: str = "x"
) -> tuple[str, asyncio.Task[RunState | None]]:
    """A run of worker `a` that waits at a gate."""
    run_id = await rig.accept(flow, {"text": text})
    running = asyncio.create_task(rig.execute(run_id))
    await rig.until(_calls(at, 1), f"{at} runs")
    return run_id, running


async def _execute_without_end(rig: Rig, run_id: str) -> None:
    """Execute every step of a run, but lose the commit of its end."""
    service = rig.worker("a")
    ended = asyncio.Event()

    async def swallow(*_: object) -> None:
        ended.set()

    service.engine._end = swallow  # type: ignore[method-assign]  # the crash window under test
    await rig.execute(run_id)
    await ended.wait()


def _calls(text: str, times: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return CALLS[text] >= times

    return holds


def _owned_by(rig: Rig, run_id: str, worker: str) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return (await rig.run(run_id)).owner == worker

    return holds


def _settled(rig: Rig, run_id: str, step: str) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        known = (await rig.steps(run_id)).get(step)
        return known is not None and known.state in {StepState.SUCCEEDED, StepState.FAILED}

    return holds


def _sent(rig: Rig, count: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return len(rig.queue.sent) >= count

    return holds
