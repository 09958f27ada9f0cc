"""Flows that wait: for time, signals, children, locks, and that undo what they did."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel

from envelope import Envelope
from envelope.errors import WaitTimedOut
from envelope.failure import StepFailed
from orchestrators import orchestrator
from tests.rig.flows import Words

HOUR = 3600.0


class Many(BaseModel):
    count: int
    limit: int = 10
    collect: bool = False


@orchestrator("napping")
async def napping(ctx: Any, request: Words) -> Envelope:
    """A step, a night's sleep, a step."""
    before = await ctx.call("shout", {"text": "before"}, key="before")
    await ctx.sleep(8 * HOUR)
    after = await ctx.call("shout", {"text": "after"}, key="after")
    return Envelope.from_records([*before.records, *after.records], source="napping")


@orchestrator("asking-twice")
async def asking(ctx: Any, request: Words) -> Envelope:
    """Wait for two answers, one of them with a time limit."""
    first = await ctx.wait_for("answer")
    try:
        second = await ctx.wait_for("answer", timeout=HOUR)
    except WaitTimedOut:
        second = "none came"
    return Envelope.from_records([{"first": first, "second": second}], source="asking")


@orchestrator("busy-asking")
async def busy_asking(ctx: Any, request: Words) -> Envelope:
    """Wait for an answer while another branch works."""
    answer, made = await ctx.gather(
        ctx.wait_for("answer"), ctx.call("gated", {"text": request.text})
    )
    return Envelope.from_records([{"answer": answer}, *made.records], source="busy-asking")


@orchestrator("parent")
async def parent(ctx: Any, request: Words) -> Envelope:
    """Two children at once; the text names their flow."""
    both = await ctx.gather(
        ctx.child(request.text, {"text": "left"}, key="left"),
        ctx.child(request.text, {"text": "right"}, key="right"),
    )
    return Envelope.from_records([r for made in both for r in made.records], source="parent")


@orchestrator("forgiving-parent")
async def forgiving_parent(ctx: Any, request: Words) -> Envelope:
    """Say how a child failed."""
    try:
        return await ctx.child(request.text, {"text": "broken"}, key="child")
    except StepFailed as error:
        return Envelope.from_records([{"failed": error.failure.code}], source="forgiving")


@orchestrator("undoing")
async def undoing(ctx: Any, request: Words) -> Envelope:
    """Book, then wait; when cancelled, undo the booking by two steps."""
    await ctx.call("shout", {"text": "book"}, key="book")
    try:
        made: Envelope = await ctx.call("gated", {"text": "pay"}, key="pay")
    except asyncio.CancelledError:
        await ctx.call("shout", {"text": "refund"}, key="refund")
        await ctx.call("gated", {"text": "unbook"}, key="unbook")
        raise
    return made


@orchestrator("only", singleton="only:{user}")
async def only(ctx: Any, request: Words) -> Envelope:
    """One at a time for a user."""
    return await ctx.call("gated", {"text": request.text})


@orchestrator("locking-crm")
async def locking(ctx: Any, request: Words) -> Envelope:
    """Work under a lock."""
    async with ctx.lock("crm"):
        return await ctx.call("gated", {"text": request.text})


@orchestrator("many")
async def many(ctx: Any, request: Many) -> Envelope:
    """A wide map over generated items."""
    on_error = "collect" if request.collect else "raise"
    items = [{"text": f"item {n}"} for n in range(request.count)]
    made = await ctx.map("shout", items, limit=request.limit, on_error=on_error)
    failed = sum(envelope.status == "error" for envelope in made)
    return Envelope.from_records([{"done": len(made), "failed": failed}], source="many")


@orchestrator("streaming")
async def streaming(ctx: Any, request: Many) -> Envelope:
    """The same, one result at a time."""
    items = ({"text": f"item {n}"} for n in range(request.count))
    texts = [
        envelope.records[0].data["text"]
        async for envelope in ctx.each("shout", items, limit=request.limit)
    ]
    return Envelope.from_records([{"last": texts[-1], "done": len(texts)}], source="streaming")


@orchestrator("two-shouts")
async def two_shouts(ctx: Any, request: Words) -> Envelope:
    """A step that works, then one that the text names."""
    await ctx.call("shout", {"text": "early"})
    return await ctx.call("shout", {"text": request.text})


@orchestrator("trusting-parent")
async def trusting_parent(ctx: Any, request: Words) -> Envelope:
    """Fail when the child does."""
    return await ctx.child("two-shouts", {"text": request.text}, key="child")
