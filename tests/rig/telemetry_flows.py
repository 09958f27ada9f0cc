"""Flows that do a little of everything that is counted and traced."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from agents import agent
from agents.knowledge.embedding_factory import embedding_model
from agents.llm.port import Generated, ImageModel, ImagePrompt, LanguageModel, Prompt
from agents.llm_cache import CachedModel
from envelope import Envelope
from envelope.errors import Retryable, Terminal
from envelope.usage import Usage
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
    await REMEMBERED.generate(Prompt(instructions="Say it."), Line)
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


class Parrot:
    """A model that repeats itself and that nobody wired to any watch."""

    name = "seen-parrot"

    async def generate(self, prompt: Prompt, output: type[Line], **_: Any) -> Generated[Line]:
        return Generated(output(line="again"), self.name, Usage(), prompt.sha256(output))


REMEMBERED = CachedModel(Parrot())


@agent("seen-models", inline=True)
async def seen_models(ctx: Any, request: Seen) -> Envelope:
    """Draw a picture and make vectors with what the process provides."""
    await ctx.resource(ImageModel).draw(ImagePrompt(description=request.secret))
    vectors = embedding_model("offline", None, None, 1.0)
    assert vectors is not None
    await vectors.embed([request.secret])
    return Envelope.from_records([{"made": True}], source="seen")


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


@orchestrator("seen-made")
async def seen_made(ctx: Any, request: Seen) -> Envelope:
    """Use models of every kind."""
    return await ctx.call("seen-models", request)


@agent("seen-asks-and-dies", inline=True)
async def seen_asks_and_dies(ctx: Any, request: Seen) -> Envelope:
    """Ask a model, then take the process along."""
    await ctx.resource(LanguageModel).generate(Prompt(instructions="Say it."), Line)
    os._exit(9)
