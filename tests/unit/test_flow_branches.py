"""Thousands of branches: they begin by and by, and no more of them once one has failed."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from agents import agent
from envelope import Envelope
from envelope.failure import StepFailed
from orchestrators import orchestrator, run_inline
from orchestrators.branches import STARTS, run_branches
from tests.rig.flows import Words

_WIDTH = 4 * STARTS
_BEGUN: list[str] = []


@agent("picky", inline=True)
async def picky(_ctx: Any, request: Words) -> Envelope:
    """Note the text, and fail of the first."""
    _BEGUN.append(request.text)
    if request.text == "0":
        raise ValueError("not this one")
    return Envelope.from_records([{"text": request.text}], source="picky")


def _texts() -> list[Words]:
    return [Words(text=str(number)) for number in range(_WIDTH)]


@orchestrator("gathers-many")
async def gathers_many(ctx: Any, _request: Words) -> Envelope:
    """Each in a branch of its own."""
    return (await ctx.gather(*(ctx.call("picky", text) for text in _texts())))[0]


@orchestrator("maps-many")
async def maps_many(ctx: Any, request: Words) -> Envelope:
    """One after the other, as far as the loop is concerned; `request` says what failures do."""
    made = await ctx.map("picky", _texts(), on_error=request.text)
    return Envelope.from_records([{"made": len(made)}], source="maps-many")


@pytest.fixture(autouse=True)
def fresh() -> None:
    _BEGUN.clear()


def test_the_first_branches_are_under_way_before_the_last_begin() -> None:
    begun: list[int] = []
    seen: list[int] = []

    async def branch(number: int) -> int:
        if number == 0:
            asyncio.get_running_loop().call_soon(lambda: seen.append(len(begun)))
        begun.append(number)
        return number

    made = asyncio.run(run_branches([branch(number) for number in range(_WIDTH)]))
    assert made == begun == list(range(_WIDTH))
    assert 0 < seen[0] < _WIDTH


def test_no_branches_have_no_results() -> None:
    assert asyncio.run(run_branches([])) == []


def test_a_cancellation_ends_those_that_began_and_begins_no_others() -> None:
    begun: list[int] = []

    async def branch(number: int) -> None:
        begun.append(number)
        await asyncio.Event().wait()

    async def scenario() -> None:
        task = asyncio.create_task(run_branches([branch(number) for number in range(_WIDTH)]))
        while not begun:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scenario())
    assert len(begun) < _WIDTH


@pytest.mark.parametrize(("flow", "text"), [("gathers-many", "x"), ("maps-many", "raise")])
def test_after_a_failure_no_more_branches_begin(flow: str, text: str) -> None:
    with pytest.raises(StepFailed, match="not this one"):
        asyncio.run(run_inline(flow, {"text": text}))
    gc.collect()  # a coroutine that nobody closed would be warned of, which is an error here
    assert 0 < len(_BEGUN) < _WIDTH


def test_where_failures_are_collected_all_begin() -> None:
    made = asyncio.run(run_inline("maps-many", {"text": "collect"}))
    assert made.records[0].data == {"made": _WIDTH}
    assert len(_BEGUN) == _WIDTH
