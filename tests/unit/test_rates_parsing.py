"""Rates as people write them, and the agents that have them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agents.context import StepContext
from agents.definition import AgentDefinition
from agents.execution import execute
from agents.rates import parse_rate, per_minute
from agents.registry import AGENTS, agent
from agents.retries import NO_RETRY, RetryPolicy
from envelope import Envelope
from envelope.errors import Retryable
from envelope.ports.rates import Rate
from envelope.resources import Resources


@pytest.mark.parametrize(
    ("text", "amount", "seconds", "burst"),
    [
        ("500/min", 500, 60, 50),
        ("500/minute", 500, 60, 50),
        ("10/s", 10, 1, 1),
        ("3/sec", 3, 1, 1),
        ("1/second", 1, 1, 1),
        ("1_000/h", 1_000, 3_600, 100),
        ("7/hour", 7, 3_600, 1),
        ("2.5/d", 2.5, 86_400, 1),
        ("100/day burst 3", 100, 86_400, 3),
        (" 500 / min  burst 50.5 ", 500, 60, 50.5),
    ],
)
def test_what_is_a_rate(text: str, amount: float, seconds: float, burst: float) -> None:
    assert parse_rate(text) == Rate(amount=amount, seconds=seconds, burst=burst)


@pytest.mark.parametrize(
    "text",
    [
        *("", "500", "/min", "500/", "500/fortnight", "-5/min", "0/min", "0.0/s", "nan/s", "inf/s"),
        *("5/min burst", "5/min burst 0", "5/min burst 0.5", "5/min,burst 3", "5 per min"),
        *("\u0665/min", "1e3/min", "5/MIN", "5/min\n6/min"),
        *("9" * 400 + "/s", "5/s burst " + "9" * 400),
        *(None, 5),
    ],
)
def test_what_is_none_says_how_one_is_written(text: Any) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        parse_rate(text)


@given(st.text())
def test_any_text_is_a_rate_or_a_value_error(text: str) -> None:
    try:
        rate = parse_rate(text)
    except ValueError:
        return
    assert rate.amount > 0
    assert rate.burst >= 1


def test_so_much_per_minute() -> None:
    assert per_minute(600) == parse_rate("600/min")
    assert per_minute(3).burst == 1


class RatedRequest(BaseModel):
    """Nothing."""


def rated(ctx: Any, request: RatedRequest) -> Envelope:
    return Envelope.from_records([{"a": 1}], source="rated")


def test_an_agent_has_its_rate() -> None:
    agent("rated_here", rate="500/min burst 20")(rated)
    assert AGENTS.get("rated_here").rate_limit == Rate(amount=500, seconds=60, burst=20)
    agent("unrated_here")(rated)
    assert AGENTS.get("unrated_here").rate_limit is None


@pytest.mark.parametrize("rate", ["often", "", "5", 5])
def test_a_wrong_rate_is_refused_at_registration(rate: Any) -> None:
    with pytest.raises(ValueError, match=r"agent 'rated_wrongly': .* is not a rate.*'500/min'"):
        agent("rated_wrongly", rate=rate)(rated)
    assert "rated_wrongly" not in AGENTS.names()


def definition_of(function: Any, **more: Any) -> AgentDefinition:
    values: dict[str, Any] = {
        "name": "hooked",
        "version": 1,
        "function": function,
        "model": RatedRequest,
        "concurrency": 1,
        "rate": None,
        "inline": True,
        "timeout_seconds": None,
        "retries": NO_RETRY,
    }
    return AgentDefinition(**values | more)


def context(attempt: int) -> StepContext:
    return StepContext(
        run_id="r",
        step="s",
        agent="hooked",
        attempt=attempt,
        tenant="t",
        user=None,
        thread=None,
        allow_delivery=False,
        trace_id=None,
        log=structlog.get_logger("test"),
        resources=Resources(),
        emitter=lambda event, data: None,
    )


def test_the_hook_comes_before_each_attempt() -> None:
    told: list[str] = []

    async def failing_twice(ctx: StepContext, request: RatedRequest) -> Envelope:
        told.append(f"attempt {ctx.attempt}")
        if ctx.attempt < 6:
            raise Retryable("again", retry_after=0.0)
        return rated(ctx, request)

    async def before(attempt: int) -> None:
        told.append(f"before {attempt}")

    definition = definition_of(failing_twice, retries=RetryPolicy(attempts=9))
    asyncio.run(
        execute(definition, "{}", context, max_bytes=10_000, first_attempt=4, before_attempt=before)
    )
    assert told == [f"{what} {number}" for number in (4, 5, 6) for what in ("before", "attempt")]


def test_waiting_in_the_hook_is_no_part_of_the_timeout() -> None:
    async def quick(ctx: Any, request: RatedRequest) -> Envelope:
        return rated(ctx, request)

    async def before(attempt: int) -> None:
        await asyncio.sleep(0.3)

    definition = definition_of(quick, timeout_seconds=0.2)
    done = asyncio.run(execute(definition, "{}", context, max_bytes=10_000, before_attempt=before))
    assert done.attempt == 1


def test_what_the_hook_raises_ends_the_step() -> None:
    async def never(ctx: Any, request: RatedRequest) -> Envelope:
        raise AssertionError("it ran")

    async def before(attempt: int) -> None:
        raise Retryable("no")

    definition = definition_of(never, retries=RetryPolicy(attempts=3, base_seconds=0.0))
    with pytest.raises(Retryable):
        asyncio.run(execute(definition, "{}", context, max_bytes=10_000, before_attempt=before))
