"""The first release: version 1 of the flow, whose agent writes down outside what it executes."""

import asyncio
import json
import socket
from pathlib import Path

from pydantic import BaseModel

from agents import agent
from envelope import Envelope
from envelope.ports.context import AgentContext, RunContext
from orchestrators import orchestrator

_LEDGER = Path("/ledger")


class Naps(BaseModel):
    """So many steps; with `on`, more until the file `enough` stands in the ledger's folder."""

    steps: int
    seconds: float
    on: bool = False


class Nap(BaseModel):
    seconds: float


def _note(what: str, ctx: AgentContext) -> None:
    host = socket.gethostname()
    with (_LEDGER / f"{host}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"what": what, "run": ctx.run_id, "step": ctx.step}) + "\n")


@agent("released_nap", concurrency=100)
async def released_nap(ctx: AgentContext, request: Nap) -> Envelope:
    _note("begun", ctx)
    await asyncio.sleep(request.seconds)
    _note("done", ctx)
    return Envelope.from_records([{"enough": (_LEDGER / "enough").exists()}], source="nap")


async def naps(ctx: RunContext, request: Naps, name: str) -> Envelope:
    number, enough = 0, False
    while number < request.steps or (request.on and not enough):
        nap = {"seconds": request.seconds}
        envelope = await ctx.call("released_nap", nap, key=f"{name}-{number}")
        number, enough = number + 1, envelope.records[0].data["enough"]
    return envelope


@orchestrator("released_naps", version=1)
async def released_naps(ctx: RunContext, request: Naps) -> Envelope:
    return await naps(ctx, request, "old")
