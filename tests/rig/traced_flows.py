"""Flows whose agents leave a line outside the system for everything that they do."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agents import agent
from envelope import Envelope
from orchestrators import orchestrator

TRACE_VARIABLE = "MUSTER_TEST_TRACE"


class Tick(BaseModel):
    number: int
    seconds: float = 1.0


class Ticks(BaseModel):
    name: str
    steps: int = 5
    seconds: float = 1.0
    queued: bool = False


class Poison(BaseModel):
    how: str
    queued: bool = False


def trace(ctx: Any, what: str) -> None:
    """Append one line; a single write to an O_APPEND file is not torn by a kill."""
    line = {
        "at": time.time(),
        "run": ctx.run_id,
        "step": ctx.step,
        "attempt": ctx.attempt,
        "pid": os.getpid(),
        "what": what,
    }
    with Path(os.environ[TRACE_VARIABLE]).open("ab", buffering=0) as file:
        file.write(json.dumps(line).encode() + b"\n")


@agent("tick", inline=True, concurrency=10_000)
async def tick(ctx: Any, request: Tick) -> Envelope:
    """Wait, and leave a line before and after."""
    trace(ctx, "start")
    await asyncio.sleep(request.seconds)
    trace(ctx, "end")
    return Envelope.from_records([{"number": request.number}], source="tick")


@agent("far-tick", concurrency=10_000)
async def far_tick(ctx: Any, request: Tick) -> Envelope:
    """The same on the agent's queue."""
    return await tick(ctx, request)


@agent("poison", inline=True)
async def poison(ctx: Any, request: Poison) -> Envelope:
    """Take the whole process along."""
    trace(ctx, "start")
    os._exit(13)


@agent("far-poison")
async def far_poison(ctx: Any, request: Poison) -> Envelope:
    """The same on the agent's queue."""
    trace(ctx, "start")
    os._exit(13)


@orchestrator("ticks")
async def ticks(ctx: Any, request: Ticks) -> Envelope:
    """Steps in a row."""
    agent_name = "far-tick" if request.queued else "tick"
    records = []
    for number in range(request.steps):
        made = await ctx.call(agent_name, Tick(number=number, seconds=request.seconds))
        records += made.records
    return Envelope.from_records(records, source="ticks")


@orchestrator("fan")
async def fan(ctx: Any, request: Ticks) -> Envelope:
    """Steps side by side."""
    wanted = [Tick(number=number, seconds=request.seconds) for number in range(request.steps)]
    made = await ctx.map("tick", wanted)
    return Envelope.from_records([{"steps": len(made)}], source="fan")


@orchestrator("poisoned")
async def poisoned(ctx: Any, request: Poison) -> Envelope:
    """Kill the worker."""
    return await ctx.call("far-poison" if request.queued else "poison", request)
