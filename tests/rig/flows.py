"""Agents and flows for tests of the engine; `CALLS` says what really ran."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from agents import RetryPolicy, agent
from envelope import Envelope
from envelope.errors import Retryable
from orchestrators import orchestrator

CALLS: Counter[str] = Counter()
GATES: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
SWITCH: dict[str, Callable[[], Any]] = {}


def reset() -> None:
    """Forget what ran."""
    CALLS.clear()
    GATES.clear()
    SWITCH.clear()


class Words(BaseModel):
    text: str


class Nothing(BaseModel):
    pass


@agent("shout", inline=True)
async def shout(ctx: Any, request: Words) -> Envelope:
    """Upper-case, at once; a text named in SWITCH does that first."""
    CALLS[request.text] += 1
    if request.text in SWITCH:
        SWITCH[request.text]()
    return Envelope.from_records([{"text": request.text.upper()}], source="shout")


@agent("gated", inline=True)
async def gated(ctx: Any, request: Words) -> Envelope:
    """Wait until the test opens the gate of that text."""
    CALLS[request.text] += 1
    await GATES[request.text].wait()
    return Envelope.from_records([{"text": request.text}], source="gated")


@agent("far")
async def far(ctx: Any, request: Words) -> Envelope:
    """On the agent's queue: wait for the gate where the text begins with `gate`."""
    CALLS[request.text] += 1
    ctx.emit("far.progress", done=1)
    if request.text.startswith("gate"):
        await GATES[request.text].wait()
    return Envelope.from_records([{"text": request.text}], source="far")


@agent("threaded", inline=True)
def threaded(ctx: Any, request: Words) -> Envelope:
    """A plain function."""
    return Envelope.from_records([{"text": request.text, "run": ctx.run_id}], source="threaded")


@agent("flaky", inline=True, retries=RetryPolicy(attempts=3, base_seconds=0.001))
async def flaky(ctx: Any, request: Words) -> Envelope:
    """Succeed at the attempt that the text names."""
    CALLS["flaky"] += 1
    if ctx.attempt < int(request.text):
        raise Retryable("not yet")
    return Envelope.from_records([{"attempt": ctx.attempt}], source="flaky")


@agent("broken", inline=True)
async def broken(ctx: Any, request: Words) -> Envelope:
    """Fail in a way that is not worth another attempt."""
    CALLS["broken"] += 1
    raise ValueError(request.text)


@agent("liar", inline=True)
async def liar(ctx: Any, request: Words) -> Envelope:
    """Return something that is no envelope."""
    return {"text": request.text}  # type: ignore[return-value]  # the point of this agent


@orchestrator("three")
async def three(ctx: Any, request: Words) -> Envelope:
    """Three steps in a row, the second of which waits at a gate."""
    first = await ctx.call("shout", {"text": "one"}, key="first")
    ctx.emit("three.progress", done=1)
    second = await ctx.call("gated", {"text": "two"}, key="second")
    third = await ctx.call("shout", {"text": "three"}, key="third")
    return Envelope.from_records([*first.records, *second.records, *third.records], source="three")


@orchestrator("one")
async def one(ctx: Any, request: Words) -> Envelope:
    """One step of the agent that the text names, with an input of 2."""
    return await ctx.call(request.text, {"text": "2"})


@orchestrator("forgiving")
async def forgiving(ctx: Any, request: Words) -> Envelope:
    """Catch whatever a step raises."""
    try:
        return await ctx.call("broken", {"text": "x"}, key="try")
    except Exception as error:
        return Envelope.from_records([{"caught": type(error).__name__}], source="forgiving")


@orchestrator("remote")
async def remote(ctx: Any, request: Words) -> Envelope:
    """One step on the agent's queue, then one here."""
    made = await ctx.call("far", {"text": request.text}, key="far")
    after = await ctx.call("shout", {"text": "after"}, key="after")
    return Envelope.from_records([*made.records, *after.records], source="remote")


@orchestrator("changing")
async def changing(ctx: Any, request: Words) -> Envelope:
    """A flow whose code changes between two executions, as SWITCH says."""
    first = SWITCH["first"]() if "first" in SWITCH else "one"
    made = await ctx.call("shout", {"text": first})
    if "second" in SWITCH:
        made = await SWITCH["second"]()(ctx)
    gate = await ctx.call("gated", {"text": "two"}, key="gate")
    return Envelope.from_records([*made.records, *gate.records], source="changing")


@orchestrator("wide")
async def wide(ctx: Any, request: Words) -> Envelope:
    """Branches and a map, whose items record time and ids."""
    left, right = await ctx.gather(
        ctx.call("shout", {"text": "left"}), ctx.call("gated", {"text": "right"})
    )
    items = await ctx.map("shout", [{"text": f"item {n}"} for n in range(6)], limit=2)
    facts = {"now": ctx.now().isoformat(), "uuid": str(ctx.uuid())}
    gate = await ctx.call("gated", {"text": "end"})
    records = [record for made in (left, right, *items, gate) for record in made.records]
    return Envelope.from_records([*records, facts], source="wide")


@orchestrator("failing-branch")
async def failing_branch(ctx: Any, request: Words) -> Envelope:
    """One branch fails while the other waits; the flow goes on."""
    try:
        await ctx.gather(ctx.call("gated", {"text": "never"}), ctx.call("broken", {"text": "bang"}))
    except Exception as error:
        made = await ctx.call("gated", {"text": "two"}, key="end")
        return Envelope.from_records([*made.records, {"failed": str(error)}], source="branch")
    raise AssertionError("the branch did not fail")
