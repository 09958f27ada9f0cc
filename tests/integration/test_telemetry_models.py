"""Requests to a model on a real socket: what they cost, how long they took, how they ended."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from array import array
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from agents.knowledge.openai_embedding import OpenAIEmbedding
from agents.llm.errors import ModelBusy, ModelRejected
from agents.llm.image_port import ImagePrompt
from agents.llm.openai_images import OpenAIImages
from agents.llm.openai_model import OpenAIModel
from agents.llm.port import Prompt
from agents.llm.watch import WATCH
from tests.integration.openai_provider import (
    Provider,
    Reply,
    error_body,
    responses_body,
    serving,
)
from worker.telemetry.prometheus import PrometheusMeters
from worker.telemetry.telemetry import Telemetry

if "CI" not in os.environ:  # there it must be installed
    pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from worker.telemetry.otel import OtelTracer

PROMPT = Prompt(instructions="Say canary-instructions.", task={"it": "canary-task"})


class Said(BaseModel):
    text: str


GOOD = Reply(body=responses_body(json.dumps({"text": "canary-answer"})))
INVALID = Reply(body=responses_body(json.dumps({"words": 1})))

Figures = Callable[..., float]


def asked(
    *script: Reply, fails: type[Exception] | None = None
) -> tuple[Figures, list[ReadableSpan]]:
    """Ask once; return the metrics' figures and the spans."""
    registry, exporter = CollectorRegistry(), InMemorySpanExporter()
    telemetry = Telemetry(PrometheusMeters(registry), OtelTracer(exporter))

    async def scenario(provider: Provider) -> None:
        model = OpenAIModel(
            "gpt-5.4-mini", api_key="sk-canary-key-1", base_url=provider.url, watch=telemetry.model
        )
        try:
            await model.generate(PROMPT, Said)
        finally:
            await model.aclose()

    with serving(*script) as provider:
        if fails is None:
            asyncio.run(scenario(provider))
        else:
            with pytest.raises(fails):
                asyncio.run(scenario(provider))
    telemetry.close()

    def figure(name: str, **labels: str) -> float:
        return registry.get_sample_value(name, labels) or 0.0

    return figure, list(exporter.get_finished_spans())


def test_an_answer_counts_with_its_model_tokens_and_time() -> None:
    figure, [span] = asked(GOOD)
    attributes = dict(span.attributes or {})
    name = str(attributes["gen_ai.response.model"])
    count = "muster_llm_request_seconds_count"
    assert figure(count, model=name, outcome="succeeded") == 1
    tokens = "muster_llm_tokens_total"
    assert figure(tokens, model=name, direction="input") == attributes["gen_ai.usage.input_tokens"]
    assert figure(tokens, model=name, direction="output") > 0
    assert span.name == "chat gpt-5.4-mini"
    assert attributes["server.address"] == "127.0.0.1"
    assert attributes["gen_ai.provider.name"] == "openai"
    assert "canary" not in span.to_json()


def test_each_repair_is_a_request_of_its_own() -> None:
    figure, spans = asked(INVALID, GOOD)
    assert len(spans) == 2
    name = str(dict(spans[0].attributes or {})["gen_ai.response.model"])
    assert figure("muster_llm_request_seconds_count", model=name, outcome="succeeded") == 2


@pytest.mark.parametrize(("status", "error"), [(429, ModelBusy), (401, ModelRejected)])
def test_a_refusal_counts_as_failed_and_says_its_code(status: int, error: type[Exception]) -> None:
    refusal = Reply(status=status, body=error_body("canary-of-a-provider"))
    figure, [span] = asked(refusal, fails=error)
    count = "muster_llm_request_seconds_count"
    assert figure(count, model="gpt-5.4-mini", outcome="failed") == 1
    assert not span.status.is_ok
    assert dict(span.attributes or {})["error.type"]
    assert "canary" not in span.to_json()


PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n canary-picture").decode()
PICTURE = Reply(
    body={"data": [{"b64_json": PNG}], "usage": {"input_tokens": 20, "output_tokens": 1_500}}
)
VECTOR = base64.b64encode(array("f", [3.0, 4.0]).tobytes()).decode()
VECTORS = Reply(
    body={
        "data": [{"index": 0, "embedding": VECTOR}],
        "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 11},
    }
)


async def draw(url: str) -> None:
    images = OpenAIImages("gpt-image-1-mini", api_key="sk-canary-key-1", base_url=url)
    try:
        await images.draw(ImagePrompt(description="canary-description"))
    finally:
        await images.aclose()


async def embed(url: str) -> None:
    vectors = OpenAIEmbedding("text-embedding-3-small", api_key="sk-canary-key-1", base_url=url)
    try:
        await vectors.embed(["canary-passage"])
    finally:
        await vectors.aclose()


def in_a_step(
    work: Callable[[str], Awaitable[None]], reply: Reply, fails: type[Exception] | None = None
) -> tuple[Figures, ReadableSpan]:
    """Let a model that nobody wired work where a step is watched; return figures and the span."""
    registry, exporter = CollectorRegistry(), InMemorySpanExporter()
    telemetry = Telemetry(PrometheusMeters(registry), OtelTracer(exporter))

    async def scenario(url: str) -> None:
        WATCH.set(telemetry.model)
        await work(url)

    with serving(reply) as provider:
        if fails is None:
            asyncio.run(scenario(provider.url))
        else:
            with pytest.raises(fails):
                asyncio.run(scenario(provider.url))
    telemetry.close()
    [span] = exporter.get_finished_spans()
    assert "canary" not in span.to_json()
    return lambda name, **labels: registry.get_sample_value(name, labels) or 0.0, span


def test_a_picture_counts_with_its_model_tokens_and_time() -> None:
    figure, span = in_a_step(draw, PICTURE)
    model = "gpt-image-1-mini"
    assert figure("muster_llm_request_seconds_count", model=model, outcome="succeeded") == 1
    assert figure("muster_llm_tokens_total", model=model, direction="output") == 1_500
    attributes = dict(span.attributes or {})
    assert span.name == f"generate_content {model}"
    assert attributes["gen_ai.operation.name"] == "generate_content"
    assert attributes["gen_ai.output.type"] == "image"
    assert attributes["gen_ai.usage.input_tokens"] == 20
    assert attributes["server.address"] == "127.0.0.1"


def test_vectors_count_with_their_model_tokens_and_time() -> None:
    figure, span = in_a_step(embed, VECTORS)
    model = "text-embedding-3-small"
    assert figure("muster_llm_request_seconds_count", model=model, outcome="succeeded") == 1
    assert figure("muster_llm_tokens_total", model=model, direction="input") == 11
    attributes = dict(span.attributes or {})
    assert span.name == f"embeddings {model}"
    assert attributes["gen_ai.operation.name"] == "embeddings"
    assert attributes["gen_ai.usage.input_tokens"] == 11
    assert "gen_ai.output.type" not in attributes


@pytest.mark.parametrize(
    ("work", "model"), [(draw, "gpt-image-1-mini"), (embed, "text-embedding-3-small")]
)
def test_what_a_picture_or_vectors_failed_with_is_told(
    work: Callable[[str], Awaitable[None]], model: str
) -> None:
    refusal = Reply(status=429, body=error_body("canary-of-a-provider"))
    figure, span = in_a_step(work, refusal, ModelBusy)
    assert figure("muster_llm_request_seconds_count", model=model, outcome="failed") == 1
    assert not span.status.is_ok
    assert dict(span.attributes or {})["error.type"] == ModelBusy.code
