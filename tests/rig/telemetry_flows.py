"""Flows that do a little of everything that is counted and traced."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agents import agent
from agents.llm.port import LanguageModel, Prompt
from envelope import Envelope
from envelope.errors import Retryable, Terminal
from orchestrators import orchestrator
from orchestrators.flow import Cache, Step


class Seen(BaseModel):
    secret: str = "nothing"
    crash: bool = False
    seconds: float = 0.0
    fail: bool = False
    ask: bool = True


class Line(BaseModel):
    """One line."""

    line: str


class Flaky(Retryable):
    code = "SEEN_FLAKY"


class Broken(Terminal):
    code = "SEEN_BROKEN"


def first_time(marker: Path) -> bool:
    """Whether nobody has left the marker yet; it is left now."""
    before = marker.exists()
    marker.touch()
    return not before


@agent("seen-here", inline=True)
async def seen_here(ctx: Any, request: Seen) -> Envelope:
    """Ask a model and log through a library."""
    logging.getLogger("some.library").warning("a library speaks of %s", request.secret)
    ctx.log.info("seen.here", secret=request.secret)
    ctx.emit("seen.event", note=request.secret, api_key=request.secret)
    if not request.ask:
        return Envelope.from_records([{"line": "unasked"}], source="seen")
    model = ctx.resource(LanguageModel)
    made = await model.generate(Prompt(instructions="Say it.", task={"it": "x"}), Line)
    return Envelope.from_records([{"line": made.output.line}], source="seen")


@agent("seen-far", concurrency=4, rate="100/s")
async def seen_far(ctx: Any, request: Seen) -> Envelope:
    """Run on the agent's queue; the first attempt fails."""
    if ctx.attempt == 1:
        raise Flaky(f"not yet, {request.secret}")
    await asyncio.sleep(request.seconds)
    return Envelope.from_records([{"far": True}], source="seen")


@agent("seen-broken", inline=True)
async def seen_broken(ctx: Any, request: Seen) -> Envelope:
    """Fail for good."""
    raise Broken(f"broken by {request.secret}")


@agent("seen-crash", inline=True)
async def seen_crash(ctx: Any, request: Seen) -> Envelope:
    """Take the worker along once: a file says that it was done."""
    if first_time(Path(os.environ["MUSTER_TEST_CRASHED"])):
        os._exit(9)
    return Envelope.from_records([{"crashed": True}], source="seen")


@agent("seen-kept", inline=True)
async def seen_kept(ctx: Any, request: Seen) -> Envelope:
    """Give the same answer to everybody."""
    return Envelope.from_records([{"kept": True}], source="seen")


KEPT = Cache(Step("seen-kept"))


@orchestrator("seen")
async def seen(ctx: Any, request: Seen) -> Envelope:
    """Two steps, one here and one far; on demand a crash and a failure between them."""
    await KEPT(ctx, request)
    here = await ctx.call("seen-here", request)
    if request.crash:
        await ctx.call("seen-crash", request)
    if request.fail:
        await ctx.call("seen-broken", request)
    far = await ctx.call("seen-far", request)
    return Envelope.from_records([*here.records, *far.records], source="seen")
