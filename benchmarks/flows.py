"""The agents and flows that are measured. They do nothing, or wait: what costs is Muster."""

from __future__ import annotations

import asyncio
import time

from pydantic import BaseModel

from agents import agent
from envelope import Envelope
from envelope.ports.context import AgentContext, RunContext
from orchestrators import orchestrator

_NO_LIMIT = 100_000
_SOURCE = "benchmark"


class AtOnce:
    """Counts the agents of this process that wait at the same time.

    Attributes:
        most: Most of them so far.
    """

    def __init__(self) -> None:
        self.most = 0
        self._now = 0

    def __enter__(self) -> None:
        self._now += 1
        self.most = max(self.most, self._now)

    def __exit__(self, *_error: object) -> None:
        self._now -= 1


WAITING = AtOnce()


class Item(BaseModel):
    """What a step gets.

    Attributes:
        seconds: How long it takes; for an agent that waits.
    """

    number: int = 0
    seconds: float = 0.0


class Work(BaseModel):
    """What a run gets.

    Attributes:
        steps: How many steps it has, or how wide it is.
        seconds: How long each takes, where the agent waits.
        agent: Who executes them.
        inline: Whether they run in the run's own process; else on the agent's queue.
    """

    steps: int = 1
    seconds: float = 0.0
    agent: str = "bench_noop"
    inline: bool = True


@agent("bench_noop", inline=True, concurrency=_NO_LIMIT)
async def noop(_ctx: AgentContext, request: Item) -> Envelope:
    """Do nothing."""
    return _envelope(request)


@agent("bench_limited", inline=True, concurrency=1000, rate="1000000/s")
async def limited(_ctx: AgentContext, request: Item) -> Envelope:
    """Do nothing, under limits that are never reached."""
    return _envelope(request)


@agent("bench_wait", inline=True, concurrency=_NO_LIMIT)
async def wait(_ctx: AgentContext, request: Item) -> Envelope:
    """Wait, as for a model."""
    with WAITING:
        await asyncio.sleep(request.seconds)
    return _envelope(request)


@agent("bench_turn", inline=True, concurrency=4)
async def turn(_ctx: AgentContext, request: Item) -> Envelope:
    """Wait, four at a time in the whole cluster; the record says when it ended."""
    await asyncio.sleep(request.seconds)
    return Envelope.from_records([{"at": time.time()}], source=_SOURCE)


@agent("bench_beat", inline=True, concurrency=_NO_LIMIT)
async def beat(ctx: AgentContext, request: Item) -> Envelope:
    """Emit `number` events, one every `seconds`; each says when it was emitted."""
    for number in range(request.number):
        ctx.emit("beat", number=number, at=time.time())
        await asyncio.sleep(request.seconds)
    return _envelope(request)


@orchestrator("bench_chain")
async def chain(ctx: RunContext, request: Work) -> Envelope:
    """So many steps, one after the other."""
    made = Envelope.from_records([], source=_SOURCE)
    for number in range(request.steps):
        item = Item(number=number, seconds=request.seconds)
        made = await ctx.call(request.agent, item, inline=request.inline)
    return made


@orchestrator("bench_fan")
async def fan(ctx: RunContext, request: Work) -> Envelope:
    """One step, then `steps` at once, then one."""
    await ctx.call(request.agent, Item(), inline=request.inline)
    items = [Item(number=number) for number in range(request.steps)]
    await ctx.gather(*(ctx.call(request.agent, item, inline=request.inline) for item in items))
    return await ctx.call(request.agent, Item(), inline=request.inline)


@orchestrator("bench_wide")
async def wide(ctx: RunContext, request: Work) -> Envelope:
    """`steps` steps that all wait at the same time."""
    items = (Item(number=number, seconds=request.seconds) for number in range(request.steps))
    calls = (ctx.call(request.agent, item, inline=request.inline) for item in items)
    return (await ctx.gather(*calls))[-1]


@orchestrator("bench_hold")
async def hold(ctx: RunContext, request: Work) -> Envelope:
    """A quick step, then one that lasts: the worker is killed in that one."""
    await ctx.call("bench_noop", Item())
    return await ctx.call("bench_wait", Item(seconds=request.seconds))


@orchestrator("bench_never")
async def never(ctx: RunContext, _request: Work) -> Envelope:
    """Wait for a signal that nobody sends."""
    await ctx.wait_for("never")
    return Envelope.from_records([], source=_SOURCE)


@orchestrator("bench_beats")
async def beats(ctx: RunContext, request: Work) -> Envelope:
    """Wait for the signal `go`, then emit `steps` events, one every `seconds`."""
    await ctx.wait_for("go")
    return await ctx.call("bench_beat", Item(number=request.steps, seconds=request.seconds))


def _envelope(request: Item) -> Envelope:
    return Envelope.from_records([{"number": request.number}], source=_SOURCE)
