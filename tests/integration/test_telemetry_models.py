"""Requests to a model on a real socket: what they cost, how long they took, how they ended."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from agents.llm.errors import ModelBusy, ModelRejected
from agents.llm.openai_model import OpenAIModel
from agents.llm.port import Prompt
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
