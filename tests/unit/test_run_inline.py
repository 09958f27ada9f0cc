"""The same flows with no queue, no journal, no file."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from agents import agent
from envelope import Envelope
from envelope.errors import InvalidInput, NotRegistered
from envelope.failure import StepFailed
from envelope.resources import Resources
from orchestrators import orchestrator, run_inline
from tests.rig import flows
from tests.rig.flows import CALLS, GATES, Words, three


@pytest.fixture(autouse=True)
def fresh() -> None:
    flows.reset()


def test_a_flow_runs_by_name_or_function() -> None:
    async def scenario() -> None:
        GATES["two"].set()
        events: list[tuple[str, Mapping[str, Any]]] = []
        made = await run_inline(three, {"text": "x"}, on_event=lambda *e: events.append(e))
        assert [record.data["text"] for record in made.records] == ["ONE", "two", "THREE"]
        assert ("three.progress", {"done": 1}) in events
        assert await run_inline("three", Words(text="x")) is not None

    asyncio.run(scenario())


def test_queued_agents_run_here_too() -> None:
    made = asyncio.run(run_inline("remote", {"text": "x"}))
    assert [record.data["text"] for record in made.records] == ["x", "AFTER"]


def test_retries_wait_by_the_given_sleep() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    asyncio.run(run_inline("one", {"text": "flaky"}, sleep=sleep))
    assert CALLS["flaky"] == 2
    assert len(waits) == 1


def test_branches_end_before_a_failure_is_raised() -> None:
    async def scenario() -> None:
        GATES["two"].set()
        made = await run_inline("failing-branch", {"text": "x"})
        assert "TASK_EXECUTION_FAILED" in str(made.records[-1].data["failed"])
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("flow", "payload", "error", "says"),
    [
        ("nope", {}, NotRegistered, "No flow named 'nope'"),
        ("three", {"text": 1}, InvalidInput, "Words: text"),
        ("three", {}, InvalidInput, "Field required"),
        ("three", ["x"], InvalidInput, "expected an object"),
        ("three", {"text": "a\x00"}, InvalidInput, "NUL"),
        ("one", {"text": "broken"}, StepFailed, "ValueError: 2"),
        ("one", {"text": "liar"}, StepFailed, "not an Envelope"),
    ],
)
def test_bad_input_has_a_typed_error(
    flow: str, payload: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        asyncio.run(run_inline(flow, payload))


class Greeter:
    closed = False

    def greet(self) -> str:
        return "hello"

    def close(self) -> None:
        self.closed = True


class Nothing(BaseModel):
    pass


@agent("greeting", inline=True)
def greeting(ctx: Any, request: Nothing) -> Envelope:
    return Envelope.from_records([{"text": ctx.resource(Greeter).greet()}], source="greeter")


@orchestrator("inline-greet-twice")
async def greet_twice(ctx: Any, request: Nothing) -> Envelope:
    await ctx.call("greeting", {}, key="same")
    return await ctx.call("greeting", {}, key="same")


@orchestrator("inline-greet")
async def greet(ctx: Any, request: Nothing) -> Envelope:
    return await ctx.call("greeting", {})


def test_resources_are_made_once_and_closed() -> None:
    made: list[Greeter] = []
    resources = Resources()
    resources.provide(Greeter, lambda: made.append(Greeter()) or made[-1])  # type: ignore[func-returns-value]
    for _ in range(2):
        result = asyncio.run(run_inline(greet, {}, resources=resources))
        assert result.records[0].data == {"text": "hello"}
    resources.close()
    assert [greeter.closed for greeter in made] == [True]


def test_a_missing_resource_lists_what_there_is() -> None:
    with pytest.raises(StepFailed, match="No resource 'Greeter' is provided. Provided: none"):
        asyncio.run(run_inline(greet, {}))


def test_a_key_used_twice_is_refused() -> None:
    resources = Resources()
    resources.provide(Greeter, Greeter)
    with pytest.raises(InvalidInput, match="have the key 'same'"):
        asyncio.run(run_inline(greet_twice, {}, resources=resources))
