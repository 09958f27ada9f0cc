"""Answers in pieces: over both APIs, whole, broken, dripping and endless."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from agents.llm.account import AccountLimits
from agents.llm.errors import ModelBusy, ModelRefused, ModelRejected, ModelTimeout
from agents.llm.openai_model import OpenAIModel
from agents.llm.port import Generated, Prompt
from envelope.ports.rates import Rate
from tests.integration.openai_bodies import chat_events, cut, responses_events
from tests.integration.openai_provider import (
    Provider,
    Reply,
    chat_body,
    error_body,
    responses_body,
    serving,
)
from worker.coordination.rates.in_process import InProcessRates

PROMPT = Prompt(instructions="Say something.")
GOOD = json.dumps({"text": "hello \u2028 wörld", "mood": "glad"}, ensure_ascii=False)

Spoken = Literal["responses", "chat"]


class Streamed(BaseModel):
    """What is said."""

    text: str
    mood: Literal["calm", "glad"] = "calm"


def events(api: Spoken, text: str = GOOD, pieces: int = 3) -> list[dict[str, Any] | str]:
    return responses_events(text, pieces) if api == "responses" else chat_events(text, pieces)


def ask(provider: Provider, pieces: list[str], **changes: Any) -> Generated[Streamed]:
    model = OpenAIModel(
        "gpt-5.4-mini", base_url=provider.url, **({"timeout_seconds": 10} | changes)
    )

    async def asking() -> Generated[Streamed]:
        try:
            return await model.generate(PROMPT, Streamed, on_delta=pieces.append)
        finally:
            await model.aclose()

    return asyncio.run(asking())


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_the_text_comes_in_pieces_without_the_thinking(api: Spoken) -> None:
    heard: list[str] = []
    with serving(Reply(events=events(api))) as provider:
        made = ask(provider, heard, api=api)
    assert heard == cut(GOOD, 3)
    assert made.output.text == "hello \u2028 wörld"
    assert made.usage.requests == 1
    assert (made.usage.input_tokens, made.usage.output_tokens) == (
        (1_000, 200) if api == "responses" else (50, 20)
    )
    assert provider.asked[0].body["stream"] is True


def test_chat_asks_for_the_usage_of_a_stream_and_responses_has_it_anyway() -> None:
    for api, expected in (("chat", {"include_usage": True}), ("responses", None)):
        with serving(Reply(events=events(api))) as provider:  # type: ignore[arg-type]
            ask(provider, [], api=api)
        assert provider.asked[0].body.get("stream_options") == expected


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_an_invalid_answer_is_repaired_and_written_anew(api: Spoken) -> None:
    heard: list[str] = []
    wrong = Reply(events=events(api, '{"text": 1}', 1))
    with serving(wrong, Reply(events=events(api))) as provider:
        assert ask(provider, heard, api=api).usage.requests == 2
    assert "".join(heard) == '{"text": 1}' + GOOD


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_a_server_that_does_not_stream_is_heard_at_once(api: Spoken) -> None:
    heard: list[str] = []
    body = responses_body(GOOD) if api == "responses" else chat_body(GOOD)
    with serving(Reply(body=body)) as provider:
        assert ask(provider, heard, api=api).output.mood == "glad"
    assert heard == [GOOD]


def test_an_end_that_leaves_the_output_out_is_filled_from_the_items() -> None:
    whole = responses_body(GOOD)
    item = {"type": "response.output_item.done", "item": whole["output"][1]}
    end = {"type": "response.completed", "response": {**whole, "output": []}}
    with serving(Reply(events=[item, end])) as provider:
        assert ask(provider, []).output.mood == "glad"


def test_a_refusal_is_no_text() -> None:
    heard: list[str] = []
    part = {"type": "refusal", "refusal": "I cannot."}
    said = {"type": "message", "role": "assistant", "content": [part]}
    whole = responses_body("", output=[said])
    sent: list[dict[str, Any] | str] = [
        {"type": "response.refusal.delta", "delta": "I cannot."},
        {"type": "response.completed", "response": whole},
    ]
    with serving(Reply(events=sent)) as provider, pytest.raises(ModelRefused, match="I cannot"):
        ask(provider, heard)
    assert heard == []


BROKEN: dict[str, dict[str, Any]] = {
    "resets": {"reset": True},
    "ends early": {},
    "says an error": {"error": True},
    "says nonsense": {"nonsense": True},
}


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("how", BROKEN)
def test_a_stream_that_breaks_is_worth_another_attempt(api: Spoken, how: str) -> None:
    heard: list[str] = []
    begun = events(api)[:4]
    if how == "says an error":
        error: dict[str, Any] = {"type": "error", "message": "sk-CANARY is busy"}
        begun.append(error if api == "responses" else {"error": error})
    if how == "says nonsense":
        begun.append("<html>")
    with serving(Reply(events=begun, reset=how == "resets")) as provider:
        with pytest.raises(ModelBusy) as caught:
            ask(provider, heard, api=api)
        assert len(provider.asked) == 1
    assert heard == cut(GOOD, 3)[:2]
    assert "CANARY" not in str(caught.value)


def test_a_response_that_fails_in_the_end_is_worth_another_attempt() -> None:
    whole = responses_body("", status="failed", error={"code": "server_error", "message": "x"})
    failed: dict[str, Any] = {"type": "response.failed", "response": whole}
    with (
        serving(Reply(events=[failed])) as provider,
        pytest.raises(ModelBusy, match="server_error"),
    ):
        ask(provider, [])


@pytest.mark.parametrize("api", ["responses", "chat"])
@pytest.mark.parametrize("begun", [0, 4])
def test_a_stream_that_drips_meets_an_absolute_limit(api: Spoken, begun: int) -> None:
    """A comment now and then keeps any read time-out from ending it."""
    started = time.monotonic()
    reply = Reply(events=events(api)[:begun], drip_seconds=0.05)
    with serving(reply) as provider:
        with pytest.raises(ModelTimeout, match="0.6 s"):
            ask(provider, [], api=api, timeout_seconds=0.6)
        assert time.monotonic() - started < 8


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_a_stream_without_end_does_not_fill_the_memory(api: Spoken) -> None:
    reply = Reply(events=events(api)[:3], endless=True)
    with serving(reply) as provider, pytest.raises(ModelRejected, match="size cap"):
        ask(provider, [], api=api, max_answer_bytes=1_000_000)


def test_a_server_without_responses_streams_over_chat() -> None:
    heard: list[str] = []
    with serving(Reply(404, error_body("Not Found")), Reply(events=events("chat"))) as provider:
        ask(provider, heard)
    assert "".join(heard) == GOOD


def test_what_the_listener_raises_passes_through() -> None:
    class Deaf(Exception):
        pass

    def deaf(_: str) -> None:
        raise Deaf

    async def asking() -> None:
        model = OpenAIModel("m", base_url=provider.url)
        with pytest.raises(Deaf):
            await model.generate(PROMPT, Streamed, on_delta=deaf)
        await model.aclose()

    with serving(Reply(events=events("responses"))) as provider:
        asyncio.run(asking())


@pytest.mark.parametrize(
    ("reply", "kind", "kept"),
    [
        (Reply(events=responses_events(GOOD)[:3], reset=True), ModelBusy, True),
        (Reply(events=responses_events(GOOD)[:3], drip_seconds=0.05), ModelTimeout, True),
        (Reply(429, error_body("Slow down"), {"retry-after": "0"}), ModelBusy, False),
        (Reply(503, "<html>"), ModelBusy, False),
    ],
)
def test_reservations_are_settled_however_a_stream_ends(
    reply: Reply, kind: type[Exception], kept: bool
) -> None:
    """What a broken stream used nobody knows, so its estimate stays; a refusal used nothing."""
    slow = Rate(amount=1.0, seconds=60.0, burst=10_000.0)

    async def asking() -> float:
        rates = InProcessRates()
        limits = AccountLimits(rates=rates, requests=slow, tokens=slow)
        model = OpenAIModel("m", base_url=provider.url, limits=limits, timeout_seconds=0.5)
        with pytest.raises(kind):
            await model.generate(PROMPT, Streamed, on_delta=lambda _: None)
        await model.aclose()
        levels = {report.key: report.level for report in await rates.report()}
        await rates.close()
        assert levels[limits.key("requests")] == pytest.approx(9_999, abs=1)
        return levels[limits.key("tokens")]

    with serving(reply) as provider:
        level = asyncio.run(asking())
    assert (level < 9_900) is kept
