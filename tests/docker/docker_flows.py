"""A flow whose steps last long enough to be interrupted, and write down that they were executed."""

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
    steps: int
    seconds: float


class Nap(BaseModel):
    number: int
    seconds: float


def _note(what: str, run_id: str, step: str) -> None:
    line = json.dumps({"what": what, "run": run_id, "step": step, "host": socket.gethostname()})
    with (_LEDGER / f"{socket.gethostname()}.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")


@agent("docker_nap", concurrency=100)
async def docker_nap(ctx: AgentContext, request: Nap) -> Envelope:
    _note("begun", ctx.run_id, ctx.step)
    await asyncio.sleep(request.seconds)
    _note("done", ctx.run_id, ctx.step)
    return Envelope.from_records([{"number": request.number}], source="nap")


@orchestrator("docker_naps")
async def docker_naps(ctx: RunContext, request: Naps) -> Envelope:
    for number in range(request.steps):
        nap = {"number": number, "seconds": request.seconds}
        envelope = await ctx.call("docker_nap", nap, key=f"nap-{number}")
    return envelope
