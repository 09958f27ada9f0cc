"""A run from its claim to its end, on one worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest

from envelope import Envelope, Failure
from envelope.ports.journal_rows import RunState, StepState
from tests.rig import flows
from tests.rig.engine_rig import checked_events, rigged
from tests.rig.flows import CALLS, GATES


@pytest.fixture(autouse=True)
def fresh() -> None:
    flows.reset()


def test_a_run_commits_its_steps_events_and_envelope() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            GATES["two"].set()
            run = await rig.finish("three", {"text": "x"}, user="u", trace_id="t" * 32)
            assert run.state is RunState.SUCCEEDED
            envelope = Envelope.from_json(run.envelope or "")
            assert [record.data["text"] for record in envelope.records] == ["ONE", "two", "THREE"]
            assert envelope.metadata.run_id == run.run_id
            assert envelope.metadata.trace_id == "t" * 32
            assert envelope.records[0].provenance.agent == "shout"
            assert run.steps_done == 3
            kinds = checked_events(await rig.events(run.run_id))
            assert kinds.count("step.succeeded") == 3
            assert kinds.count("three.progress") == 1

    asyncio.run(scenario())


def test_a_duplicate_message_changes_nothing() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            run_id = await rig.accept("three", {"text": "x"})
            first = asyncio.create_task(rig.execute(run_id))
            await rig.until(_called("two"), "the second step runs")
            assert await rig.execute(run_id) is None
            assert await rig.execute(run_id, "b") is None
            GATES["two"].set()
            assert await first is RunState.SUCCEEDED
            before = await rig.events(run_id)
            assert await rig.execute(run_id, "b") is None
            assert await rig.events(run_id) == before
            assert set(CALLS.values()) == {1}

    asyncio.run(scenario())


def test_a_failing_step_fails_the_run_with_its_failure() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            run = await rig.finish("one", {"text": "broken"})
            assert run.state is RunState.FAILED
            failure = Failure.model_validate_json(run.failure or "")
            assert failure.code == "TASK_EXECUTION_FAILED"
            assert failure.message == "ValueError: 2"
            assert failure.agent == "broken"
            assert CALLS["broken"] == 1
            assert "ValueError" in (run.trace or "")
            assert checked_events(await rig.events(run.run_id))[-1] == "run.failed"

    asyncio.run(scenario())


def test_a_flow_may_catch_a_failed_step() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            run = await rig.finish("forgiving", {"text": "x"})
            assert run.state is RunState.SUCCEEDED
            envelope = Envelope.from_json(run.envelope or "")
            assert envelope.records[0].data == {"caught": "StepFailed"}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("agent", "state", "attempts"), [("flaky", RunState.SUCCEEDED, 2), ("broken", "failed", 1)]
)
def test_attempts_follow_the_agents_policy(agent: str, state: str, attempts: int) -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            run = await rig.finish("one", {"text": agent})
            assert run.state == state
            assert CALLS[agent] == attempts
            recorded = await rig.journal.attempts(run.run_id)
            assert [attempt.attempt for attempt in recorded] == list(range(1, attempts + 1))
            kinds = checked_events(await rig.events(run.run_id))
            assert kinds.count("step.retried") == attempts - 1

    asyncio.run(scenario())


def test_what_is_no_envelope_is_refused_at_the_boundary() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            run = await rig.finish("one", {"text": "liar"})
            failure = Failure.model_validate_json(run.failure or "")
            assert failure.code == "INVALID_ENVELOPE"
            assert "returned dict, not an Envelope" in failure.message

    asyncio.run(scenario())


def test_a_plain_function_runs_in_a_thread_with_its_context() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            run = await rig.finish("one", {"text": "threaded"})
            envelope = Envelope.from_json(run.envelope or "")
            assert envelope.records[0].data["run"] == run.run_id
            assert envelope.records[0].provenance.agent == "threaded"

    asyncio.run(scenario())


def test_an_unknown_agent_and_a_wrong_input_fail_the_run_with_what_to_do() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            run = await rig.finish("one", {"text": "shoud"})
            failure = Failure.model_validate_json(run.failure or "")
            assert failure.code == "NOT_REGISTERED"
            assert "Did you mean 'shout'?" in failure.message

    asyncio.run(scenario())


def test_a_step_that_was_stopped_for_the_cancellation_does_not_fail_its_run() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            rig.consumer = "b"
            run_id = await rig.accept("remote", {"text": "gate"})
            running = asyncio.create_task(rig.execute(run_id, "a"))
            executing = rig.worker("b").engine.steps
            await rig.until(_true(lambda: executing.executes(run_id, "far")), "the step runs on b")
            await rig.journal.cancel(run_id, "no longer wanted")
            executing.revoke(run_id, "far")  # b has beaten, a has not yet
            assert await running is RunState.CANCELLED
            told = checked_events(await rig.events(run_id))
            assert told[-2:] == ["step.failed", "run.cancelled"]

    asyncio.run(scenario())


def _true(holds: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return holds()

    return look


def test_a_cancelled_run_ends_and_its_agent_is_stopped() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            run_id = await rig.accept("three", {"text": "x"})
            running = asyncio.create_task(rig.execute(run_id))
            await rig.until(_called("two"), "the second step runs")
            await rig.journal.cancel(run_id, "no longer wanted")
            await rig.worker("a").lease.take()
            assert await running is RunState.CANCELLED
            run = await rig.run(run_id)
            assert Failure.model_validate_json(run.failure or "").message == "no longer wanted"
            assert checked_events(await rig.events(run_id))[-1] == "run.cancelled"
            assert CALLS["three"] == 0

    asyncio.run(scenario())


def test_a_drain_gives_runs_back_at_a_step_boundary_without_blame() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            run_id = await rig.accept("three", {"text": "x"})
            running = asyncio.create_task(rig.execute(run_id))
            await rig.until(_called("two"), "the second step runs")
            draining = asyncio.create_task(rig.worker("a").engine.drain())
            await asyncio.sleep(0)
            assert not running.done()
            GATES["two"].set()
            await draining
            assert await running is RunState.QUEUED
            run = await rig.run(run_id)
            assert (run.state, run.owner, run.losses) == (RunState.QUEUED, None, 0)
            assert await rig.execute(run_id, "b") is RunState.SUCCEEDED
            assert dict(CALLS) == {"one": 1, "two": 1, "three": 1}

    asyncio.run(scenario())


def test_events_carry_what_a_reader_needs() -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            run = await rig.finish("one", {"text": "shout"})
            events = {event.type: event for event in await rig.events(run.run_id)}
            assert json.loads(events["run.started"].data)["epoch"] == 1
            done = json.loads(events["step.succeeded"].data)
            assert done["agent"] == "shout"
            assert done["attempt"] == 1
            assert done["seconds"] >= 0
            (step,) = (await rig.steps(run.run_id)).values()
            assert step.state is StepState.SUCCEEDED

    asyncio.run(scenario())


def _called(text: str):  # type: ignore[no-untyped-def]  # a condition for `until`
    async def called() -> bool:
        return CALLS[text] > 0

    return called
