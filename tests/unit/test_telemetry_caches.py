"""Caches tell whoever watches the step how often they were of use."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from agents import agent
from agents.knowledge.offline_embedding import OfflineEmbedding
from agents.llm.image_port import ImagePrompt
from agents.llm.offline_image import OfflineImages
from agents.llm.offline_model import OfflineModel
from agents.llm.port import Generated, Prompt
from agents.llm_cache import CachedModel
from envelope import Envelope
from envelope.ports.journal_rows import RunState
from envelope.usage import Usage
from orchestrators import orchestrator
from orchestrators.flow import Cache, Step
from tests.rig.engine_rig import rigged
from worker.telemetry.prometheus import PrometheusMeters
from worker.telemetry.telemetry import Telemetry

M = TypeVar("M", bound=BaseModel)


class Question(BaseModel):
    text: str = "x"
    again: int = 1


class Line(BaseModel):
    text: str


class Plain:
    """A model that nobody wired to any watch."""

    name = "plain-1"

    async def generate(self, prompt: Prompt, output: type[M], **_: Any) -> Generated[M]:
        made = output.model_validate({"text": "answer"})
        return Generated(made, self.name, Usage(requests=1), prompt.sha256(output))


MODELS: list[CachedModel] = []


@agent("cch-asks", inline=True)
async def asks(ctx: Any, request: Question) -> Envelope:
    """Ask a model that remembers."""
    for _ in range(request.again):
        prompt = Prompt(instructions="Say it.", task={"it": request.text})
        await MODELS[-1].generate(prompt, Line)
    return Envelope.from_records([{"asked": True}], source="cch")


@agent("cch-asks-far")
async def asks_far(ctx: Any, request: Question) -> Envelope:
    """Do so on the agent's queue."""
    return await asks(ctx, request)


@agent("cch-makes", inline=True)
async def makes(ctx: Any, request: Question) -> Envelope:
    """Use models of one's own: for text, a picture and vectors."""
    await OfflineModel().generate(Prompt(instructions="Say it."), Line)
    await OfflineImages().draw(ImagePrompt(description=request.text))
    await OfflineEmbedding().embed([request.text])
    return Envelope.from_records([{"made": True}], source="cch")


@orchestrator("cch-flow")
async def cch_flow(ctx: Any, request: Question) -> Envelope:
    """Ask here and far."""
    await ctx.call("cch-asks", request)
    return await ctx.call("cch-asks-far", request)


@orchestrator("cch-makes-flow")
async def cch_makes_flow(ctx: Any, request: Question) -> Envelope:
    """Use models."""
    return await ctx.call("cch-makes", request)


KEPT = Cache(Step("cch-makes"))


@orchestrator("cch-kept-flow")
async def cch_kept_flow(ctx: Any, request: Question) -> Envelope:
    """Keep the step's answer, and go on with another."""
    kept = await KEPT(ctx, request)
    await ctx.call("cch-asks", request)
    return kept


def executed(flow: str, *payloads: dict[str, Any]) -> dict[str, float]:
    """Execute runs one after the other; return the metrics."""
    MODELS.append(CachedModel(Plain()))
    KEPT.clear()
    registry = CollectorRegistry()

    async def scenario() -> None:
        async with rigged(telemetry=Telemetry(PrometheusMeters(registry))) as rig:
            for payload in payloads:
                run = await rig.finish(flow, payload)
                run = await rig.until_ended(run.run_id)
                assert run.state is RunState.SUCCEEDED, run.failure

    asyncio.run(scenario())
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def test_a_model_that_remembers_counts_hits_and_misses_of_its_model() -> None:
    told = executed("cch-flow", {"again": 3}, {"text": "other"})
    # The first text: one miss, then two hits here and three far. The second one: a miss and a hit.
    assert told["muster_cache_misses_total model plain-1"] == 2
    assert told["muster_cache_hits_total model plain-1"] == 6


def test_a_call_outside_of_any_run_is_nobody_s() -> None:
    model = CachedModel(Plain())
    asyncio.run(model.generate(Prompt(instructions="Say it."), Line))
    assert model.stats.misses == 1


def test_models_that_nobody_wired_are_watched_by_the_step() -> None:
    told = executed("cch-makes-flow", {})
    for model in ("offline-composer-1", "offline-banner-1", "offline-hashing-1"):
        assert told[f"muster_llm_request_seconds_count {model} succeeded"] == 1, model


def test_a_step_s_kept_answer_is_a_hit() -> None:
    told = executed("cch-kept-flow", {}, {}, {})
    assert told["muster_cache_hits_total step cch-makes"] == 2
    assert told["muster_cache_misses_total step cch-makes"] == 1
    assert told["muster_step_seconds_count cch-makes succeeded"] == 1
