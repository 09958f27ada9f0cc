"""Flows for the fault rig, loaded by workers through MUSTER_INCLUDE."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from envelope import Envelope
from orchestrators import orchestrator
from tests.rig.faults.agents import Work
from tests.rig.faults.delivering import deliver

__all__ = ["deliver"]


class Plan(BaseModel):
    """What a run of the rig does.

    Attributes:
        name: Tells runs apart.
        steps: How many steps.
        seconds: What each takes.
        where: `near`, `far`, or `mixed`: on the agent's queue every other time.
        flaky: Whether each step's first attempt fails.
        how: How a deadly step dies.
        secret: A canary.
    """

    name: str
    steps: int = 4
    seconds: float = 0.2
    where: str = "mixed"
    flaky: bool = False
    how: str = "exit"
    secret: str = ""

    def work(self, number: int, after: list[str] | None = None) -> Work:
        return Work(
            number=number,
            seconds=self.seconds,
            after=after or [],
            flaky=self.flaky,
            how=self.how,
            secret=self.secret,
        )

    def agent(self, number: int) -> str:
        is_far = self.where == "far" or (self.where == "mixed" and number % 2 == 1)
        return "rig-far" if is_far else "rig-near"


def _merged(parts: list[Envelope]) -> Envelope:
    return Envelope.from_records([r for part in parts for r in part.records], source="rig")


@orchestrator("rig-chain")
async def chain(ctx: Any, plan: Plan) -> Envelope:
    """Steps in a row, each of which must find the one before it committed."""
    parts: list[Envelope] = []
    for number in range(plan.steps):
        after = [f"s{number - 1}"] if number else []
        work = plan.work(number, after)
        parts.append(await ctx.call(plan.agent(number), work, key=f"s{number}"))
        ctx.emit("rig.passed", number=number)
    return _merged(parts)


@orchestrator("rig-fan")
async def fan(ctx: Any, plan: Plan) -> Envelope:
    """Steps side by side: a map on the agent's queue, then two branches here, then one more."""
    spread = await ctx.map("rig-far", [plan.work(n) for n in range(plan.steps)], limit=3, key="m")
    done = [f"m/{number}" for number in range(plan.steps)]
    left, right = await ctx.gather(
        ctx.call("rig-near", plan.work(plan.steps, done)),
        ctx.call("rig-far", plan.work(plan.steps + 1, done)),
    )
    end = await ctx.call("rig-near", plan.work(plan.steps + 2), key="end")
    return _merged([*spread, left, right, end])


@orchestrator("rig-talk")
async def talk(ctx: Any, plan: Plan) -> Envelope:
    """Steps that ask the stub model, on the agent's queue and here."""
    drafts = await ctx.map("rig-writer", [plan.work(n) for n in range(plan.steps)], key="drafts")
    edited = await ctx.call("rig-editor", plan.work(plan.steps), key="edited")
    return _merged([*drafts, edited])


@orchestrator("rig-single", singleton="rig:{user}", on_conflict="queue")
async def single(ctx: Any, plan: Plan) -> Envelope:
    """Two steps that must not overlap with those of another run of the same user."""
    first = await ctx.call("rig-near", plan.work(0), key="s0")
    second = await ctx.call("rig-near", plan.work(1, ["s0"]), key="s1")
    return _merged([first, second])


@orchestrator("rig-poison")
async def poison(ctx: Any, plan: Plan) -> Envelope:
    """Kill whatever executes it."""
    deadly = "rig-far-killer" if plan.where == "far" else "rig-killer"
    return await ctx.call(deadly, plan.work(0), key="s0")


@orchestrator("rig-brittle")
async def brittle(ctx: Any, plan: Plan) -> Envelope:
    """Kill the first two workers, then go on in a process of its own."""
    return await ctx.call("rig-brittle", plan.work(0), key="s0")


@orchestrator("rig-hang")
async def hang(ctx: Any, plan: Plan) -> Envelope:
    """Run into its agent's time limit."""
    return await ctx.call("rig-hang", plan.work(0), key="s0")
