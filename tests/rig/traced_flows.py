"""Flows whose agents leave a line outside the system for everything that they do."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from pathlib import Path
from typing import Any, Literal, NoReturn

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
    how: Literal["exit", "loop"]
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


@agent("narrow", inline=True, concurrency=3)
async def narrow(ctx: Any, request: Tick) -> Envelope:
    """At most three of these run in the whole cluster."""
    return await tick(ctx, request)


@agent("far-narrow", concurrency=3)
async def far_narrow(ctx: Any, request: Tick) -> Envelope:
    """The same on the agent's queue."""
    return await tick(ctx, request)


@agent("poison", inline=True)
async def poison(ctx: Any, request: Poison) -> Envelope:
    """Take the whole process along."""
    trace(ctx, "start")
    _kill(request.how)


@agent("far-poison")
async def far_poison(ctx: Any, request: Poison) -> Envelope:
    """The same on the agent's queue."""
    trace(ctx, "start")
    _kill(request.how)


@agent("far-failure")
async def far_failure(_ctx: Any, _request: Tick) -> Envelope:
    """Fail for good, at once."""
    raise ValueError("it cannot be done")


def _kill(how: str) -> NoReturn:
    while how == "loop":
        pass  # the event loop never turns again
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


@orchestrator("failing")
async def failing(ctx: Any, _request: Ticks) -> Envelope:
    """A step on a queue fails, and the run of it."""
    return await ctx.call("far-failure", Tick(number=0))


@orchestrator("fan")
async def fan(ctx: Any, request: Ticks) -> Envelope:
    """Steps side by side."""
    wanted = [Tick(number=number, seconds=request.seconds) for number in range(request.steps)]
    made = await ctx.map("tick", wanted)
    return Envelope.from_records([{"steps": len(made)}], source="fan")


@agent("count", inline=True, concurrency=1_000)
async def count(ctx: Any, request: Tick) -> Envelope:
    """Leave no line: there are many of these."""
    if request.number % 1_000 == 999:
        raise ValueError("one in a thousand fails")
    return Envelope.from_records([{"number": request.number}], source="count")


@orchestrator("streamed")
async def streamed(ctx: Any, request: Ticks) -> Envelope:
    """Very many items, one result at a time in memory."""
    wanted = [Tick(number=number) for number in range(request.steps)]
    good = bad = 0
    async for made in ctx.each("count", wanted, limit=200, on_error="collect"):
        good, bad = good + (made.status == "success"), bad + (made.status == "error")
    return Envelope.from_records([{"good": good, "bad": bad}], source="streamed")


@orchestrator("poisoned")
async def poisoned(ctx: Any, request: Poison) -> Envelope:
    """Kill the worker."""
    return await ctx.call("far-poison" if request.queued else "poison", request)


@orchestrator("squeezed")
async def squeezed(ctx: Any, request: Ticks) -> Envelope:
    """Many steps through a narrow agent."""
    wanted = [Tick(number=number, seconds=request.seconds) for number in range(request.steps)]
    made = await ctx.map("far-narrow" if request.queued else "narrow", wanted)
    return Envelope.from_records([{"steps": len(made)}], source="squeezed")


@orchestrator("patient")
async def patient(ctx: Any, request: Ticks) -> Envelope:
    """Sleep, wait for a word, then run a child."""
    await ctx.call("tick", Tick(number=0, seconds=0))
    await ctx.sleep(request.seconds)
    word = await ctx.wait_for("go on", timeout=120)
    child = await ctx.child("ticks", {"name": word, "steps": 2, "seconds": 0.1}, key="child")
    return Envelope.from_records([{"word": word}, *child.records], source="patient")


@orchestrator("alone", singleton="alone:{user}")
async def alone(ctx: Any, request: Ticks) -> Envelope:
    """One run at a time for a user."""
    return await ticks(ctx, request)


@orchestrator("undone")
async def undone(ctx: Any, request: Ticks) -> Envelope:
    """Long steps, undone when the run is cancelled."""
    try:
        await ticks(ctx, request)
    except asyncio.CancelledError:
        await ctx.call("tick", Tick(number=100, seconds=0.5), key="undo")
        raise
    return Envelope.from_records([{"done": True}], source="undone")


TOGETHER = 60
"""More than the threads that asyncio provides by itself."""

_meeting = threading.Barrier(TOGETHER)


@agent("meet", inline=True, concurrency=TOGETHER)
def meet(ctx: Any, request: Tick) -> Envelope:
    """Return when all of them are there, in a thread each."""
    _meeting.wait(timeout=30)
    return Envelope.from_records([{"number": request.number}], source="meet")


@orchestrator("meeting")
async def meeting(ctx: Any, request: Ticks) -> Envelope:
    """Plain functions that all run at the same time."""
    made = await ctx.map("meet", [Tick(number=number) for number in range(TOGETHER)])
    return Envelope.from_records([{"met": len(made)}], source="meeting")
