"""A router knows what its run, and the family that shares its budget, may still spend."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from agents import agent
from envelope import Envelope
from envelope.errors import UnknownRun
from envelope.ports.journal_rows import RunState
from envelope.running import RUNNING
from envelope.usage import Usage
from orchestrators import orchestrator
from orchestrators.flow import MoneyLeft, Price, Route, Router, Step, flow_of
from tests.rig.engine_rig import rigged
from worker.engine.money import MoneyOfRuns


class Paid(BaseModel):
    usd: float = 0.0


async def _pay(usd: float, name: str) -> Envelope:
    running = RUNNING.get()
    assert running is not None
    running.add_usage(Usage(requests=1, cost_usd=usd))
    return Envelope.from_records([{"by": name}], source=name)


@agent("money-dear", inline=True)
async def dear(ctx: Any, request: Paid) -> Envelope:
    return await _pay(0.6, "dear")


@agent("money-cheap", inline=True)
async def cheap(ctx: Any, request: Paid) -> Envelope:
    return await _pay(0.1, "cheap")


CHOICE = Router(
    Route(Step("money-dear", request=lambda _: Paid()), tier="quality", price=Price(per_call=0.6)),
    Route(Step("money-cheap", request=lambda _: Paid()), tier="fast", price=Price(per_call=0.1)),
    tier="quality",
)
flow_of("money-twice", CHOICE >> CHOICE, model=Paid)


@orchestrator("money-family")
async def family(ctx: Any, request: Paid) -> Envelope:
    await ctx.call("money-dear", Paid())
    left = await ctx.once(lambda: ctx.resource(MoneyLeft).usd_left(ctx.run_id))
    return Envelope.from_records([{"left": left}], source="family")


def test_a_route_that_costs_more_than_is_left_is_passed_over() -> None:
    async def go() -> None:
        async with rigged() as rig:
            run_id = await rig.accept("money-twice", {}, budget_usd=1.0)
            assert await rig.execute(run_id) is RunState.SUCCEEDED
            agents = [
                step.agent for step in await rig.journal.steps(run_id) if step.kind == "agent"
            ]
            assert agents == ["money-dear", "money-cheap"]

    asyncio.run(go())


def test_what_is_left_is_the_family_s() -> None:
    async def go() -> None:
        async with rigged() as rig:
            money = MoneyOfRuns(rig.journal)
            root = await rig.accept("money-family", {}, budget_usd=2.0)
            child = await rig.accept("money-family", {}, parent_id=root, root_id=root)
            free = await rig.accept("money-family", {})
            assert await money.usd_left(child) == pytest.approx(2.0)
            assert await rig.execute(child) is RunState.SUCCEEDED
            assert await money.usd_left(root) == pytest.approx(1.4)
            assert await money.usd_left(free) is None
            with pytest.raises(UnknownRun):
                await money.usd_left("no-such-run")

    asyncio.run(go())
