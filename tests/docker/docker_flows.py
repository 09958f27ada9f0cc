"""Flows of the acceptance: steps that last and are written down, and one that fails."""

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
    """So many steps, and more until the file `until` stands in the ledger's folder."""

    steps: int
    seconds: float
    until: str = ""


class Nap(BaseModel):
    seconds: float
    until: str


class Stumble(BaseModel):
    word: str


def _note(what: str, run_id: str, step: str) -> None:
    line = json.dumps({"what": what, "run": run_id, "step": step, "host": socket.gethostname()})
    with (_LEDGER / f"{socket.gethostname()}.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")


@agent("docker_nap", concurrency=100)
async def docker_nap(ctx: AgentContext, request: Nap) -> Envelope:
    _note("begun", ctx.run_id, ctx.step)
    await asyncio.sleep(request.seconds)
    _note("done", ctx.run_id, ctx.step)
    enough = not request.until or (_LEDGER / request.until).exists()
    return Envelope.from_records([{"enough": enough}], source="nap")


@orchestrator("docker_naps")
async def docker_naps(ctx: RunContext, request: Naps) -> Envelope:
    number, enough = 0, False
    while number < request.steps or not enough:
        nap = {"seconds": request.seconds, "until": request.until}
        envelope = await ctx.call("docker_nap", nap, key=f"nap-{number}")
        number, enough = number + 1, envelope.records[0].data["enough"]
    return envelope


@agent("docker_stumbler", concurrency=10)
async def docker_stumbler(ctx: AgentContext, request: Stumble) -> Envelope:
    raise ValueError(f"{request.word} cannot be handled")


@orchestrator("docker_stumble")
async def docker_stumble(ctx: RunContext, request: Stumble) -> Envelope:
    return await ctx.call("docker_stumbler", request, key="stumble")
