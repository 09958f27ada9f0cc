"""Vectors over the OpenAI SDK against a provider on a real socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.knowledge import KnowledgeBase, SourceDocument
from agents.knowledge.embedding import Vector
from agents.knowledge.embedding_factory import embedding_model
from agents.knowledge.errors import BadEmbedding
from agents.knowledge.openai_embedding import OpenAIEmbedding
from agents.knowledge.retrieval import embed_missing
from agents.knowledge.sqlite_knowledge import SqliteKnowledge
from agents.llm.account import AccountLimits
from agents.llm.errors import ModelAccessDenied, ModelBusy, ModelTimeout
from agents.rag import RagRequest
from envelope.errors import MusterError
from envelope.ports.rates import Rate
from envelope.resources import Resources
from tests.integration.openai_provider import Asked, Provider, Reply, error_body, serving
from tests.rig.agent_step import AgentStep
from worker.coordination.rates.in_process import InProcessRates


def vector_of(text: str, length: int = 3) -> list[float]:
    return [float(len(text)), 1.0, *[0.5] * (length - 2)]


def answering(encode: Callable[[list[float]], Any], **more: Any) -> Callable[[Asked], Reply]:
    """Answers like the embeddings API, last text first: the order is the caller's business."""

    def reply(asked: Asked) -> Reply:
        texts = asked.body["input"]
        length = asked.body.get("dimensions", 3)
        data = [
            {"object": "embedding", "index": index, "embedding": encode(vector_of(text, length))}
            for index, text in enumerate(texts)
        ]
        used = sum(len(text) for text in texts)
        usage = {"prompt_tokens": used, "total_tokens": used}
        body = {"object": "list", "data": data[::-1], "model": asked.body["model"], "usage": usage}
        # A connection that outlives its event loop would be reported as forgotten.
        return Reply(body={**body, **more}, headers={"Connection": "close"})

    return reply


def as_base64(numbers: list[float]) -> str:
    return base64.b64encode(array("f", numbers).tobytes()).decode()


def embed(
    provider: Provider, texts: list[str], dimensions: int | None = None, timeout: float = 30.0
) -> list[Vector]:
    async def ask() -> list[Vector]:
        model = OpenAIEmbedding(
            "text-embedding-3-small",
            api_key="sk-test",
            base_url=provider.url,
            dimensions=dimensions,
            timeout_seconds=timeout,
        )
        try:
            return await model.embed(texts)
        finally:
            await model.aclose()

    return asyncio.run(ask())


@pytest.mark.parametrize("encode", [as_base64, list], ids=["base64", "numbers"])
def test_vectors_come_in_the_order_of_the_texts_and_in_unit_length(
    encode: Callable[[list[float]], Any],
) -> None:
    with serving(answering(encode)) as provider:
        made = embed(provider, ["a", "bbbb"])
    assert provider.asked[0].path == "/v1/embeddings"
    for text, vector in zip(["a", "bbbb"], made, strict=True):
        norm = sum(number * number for number in vector_of(text)) ** 0.5
        assert list(vector) == pytest.approx([number / norm for number in vector_of(text)])


def test_texts_travel_in_batches() -> None:
    texts = [f"text {n}" for n in range(300)] + ["x" * 200_000, "y" * 200_000]
    with serving(answering(as_base64)) as provider:
        made = embed(provider, texts)
    assert [len(asked.body["input"]) for asked in provider.asked] == [128, 128, 45, 1]
    assert len(made) == 302
    assert embed(provider, []) == []


def test_shortened_vectors_have_a_name_of_their_own() -> None:
    with serving(answering(as_base64)) as provider:
        assert len(embed(provider, ["a"], dimensions=8)[0]) == 8
    assert provider.asked[0].body["dimensions"] == 8
    model = embedding_model("m", "sk", None, 5.0, dimensions=8)
    assert model is not None
    assert model.name == "m@8"


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"index": 1, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": []}],
        [{"index": 0, "embedding": [0.0, 0.0]}],
        [{"index": 0, "embedding": "###"}],
        [{"index": 0, "embedding": as_base64([float("nan"), 1.0])}],
        [{"index": 0, "embedding": as_base64([1.0, 2.0])}],
    ],
    ids=range(8),
)
def test_what_is_no_vector_is_refused(data: list[dict[str, Any]]) -> None:
    with serving(Reply(body={"data": data})) as provider, pytest.raises(BadEmbedding):
        embed(provider, ["a"], dimensions=3)


def test_an_answer_of_another_kind_is_a_busy_server() -> None:
    for body in ("<html>", {"data": "none"}, {"data": [{"index": -1, "embedding": [1.0]}]}):
        with serving(Reply(body=body)) as provider, pytest.raises(ModelBusy):
            embed(provider, ["a"])


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(429, error_body("Slow down"), {"Retry-After": "7"}), ModelBusy),
        (Reply(500, error_body("Oh no")), ModelBusy),
        (Reply(401, error_body("Who are you, sk-test?")), ModelAccessDenied),
        (Reply(drip_seconds=0.05), ModelTimeout),
    ],
    ids=["429", "500", "401", "drip"],
)
def test_the_providers_errors_are_ours(reply: Reply, error: type[MusterError]) -> None:
    with serving(reply) as provider, pytest.raises(error) as caught:
        embed(provider, ["a"], timeout=0.5)
    assert "sk-test" not in str(caught.value)


def test_calls_keep_within_the_accounts_limits() -> None:
    """One request in a burst; the second waits for the account, which another model may share."""
    limits = AccountLimits(rates=InProcessRates(), requests=Rate(amount=1, seconds=60, burst=1))

    async def ask(url: str) -> None:
        model = OpenAIEmbedding("m", api_key="sk", base_url=url, limits=limits)
        await model.embed(["a"])
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(model.embed(["b"]), 0.3)
        await model.aclose()

    with serving(answering(as_base64)) as provider:
        asyncio.run(ask(provider.url))
    assert len(provider.asked) == 1


def test_a_query_is_charged_to_its_step(tmp_path: Path) -> None:
    with serving(answering(as_base64, model="text-embedding-3-small")) as provider:
        model = OpenAIEmbedding("text-embedding-3-small", api_key="sk", base_url=provider.url)
        store = SqliteKnowledge(tmp_path / "k.sqlite3", model)
        store.ingest([SourceDocument("a.md", "# Locks\n\nA lock has an owner.\n")])

        async def prepare() -> None:
            await embed_missing(store)
            await model.aclose()

        asyncio.run(prepare())
        resources = Resources()
        resources.provide(KnowledgeBase, lambda: store)  # type: ignore[type-abstract] # a port
        made = AgentStep(resources).run("rag", RagRequest(query="x" * 9_000 + " lock"))
    assert made.records[0].data["path"] == "a.md"
    assert (made.metadata.usage.requests, made.metadata.usage.input_tokens) == (1, 4_000)
    assert provider.asked[0].body["input"] == ["Locks\n\nA lock has an owner."]


def test_no_model_is_none_and_the_offline_one_needs_no_key() -> None:
    assert embedding_model(None, "sk", None, 5.0) is None
    offline = embedding_model("offline", None, None, 5.0)
    assert offline is not None
    assert offline.name == "offline-hashing-1"
    same, near, far = asyncio.run(
        offline.embed(["owners of locks", "the owner of a lock", "bread and butter"])
    )
    dot = [sum(a * b for a, b in zip(same, other, strict=True)) for other in (same, near, far)]
    assert dot[0] == pytest.approx(1.0, abs=1e-5)
    assert dot[1] > 0.3 > dot[2]
