"""A flow whose steps use tokens of their run's budget."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from agents import agent
from envelope import Envelope
from envelope.ports.budgets import Amount
from envelope.running import RUNNING
from envelope.usage import Usage
from orchestrators import orchestrator


class Use(BaseModel):
    tokens: int


class Uses(BaseModel):
    each: int
    times: int
    child: bool = False


@agent("metered", inline=True)
async def metered(ctx: Any, request: Use) -> Envelope:
    """Use tokens as a model call does."""
    running = RUNNING.get()
    assert running is not None
    amount = Amount(tokens=request.tokens)
    if running.meter is not None:
        async with running.meter.call(amount) as charge:
            charge.used(amount)
    running.add_usage(Usage(requests=1, input_tokens=request.tokens))
    return Envelope.from_records([{"used": request.tokens, "step": ctx.step}], source="metered")


@orchestrator("metered-steps")
async def metered_steps(ctx: Any, request: Uses) -> Envelope:
    """Some steps here, or all of them in a child."""
    if request.child:
        payload = {"each": request.each, "times": request.times}
        await ctx.call("metered", {"tokens": request.each})
        return await ctx.child("metered-steps", payload, key="child")
    records = []
    for _ in range(request.times):
        records += (await ctx.call("metered", {"tokens": request.each})).records
    return Envelope.from_records(records, source="metered-steps")
