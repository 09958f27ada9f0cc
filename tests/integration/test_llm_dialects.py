"""How a server is spoken to: the table of known ones, and what is found out by asking."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, JsonValue

from agents.llm.dialects import CHAT, KNOWN, LADDER, PLAIN_CHAT, RESPONSES, Api, Dialects
from agents.llm.errors import ModelBusy, ModelRejected
from agents.llm.openai_model import OpenAIModel
from agents.llm.output_schema import OutputSchema
from agents.llm.port import Generated, Message, Prompt
from tests.integration.openai_provider import (
    Asked,
    Reply,
    chat_body,
    error_body,
    responses_body,
    serving,
)

PROMPT = Prompt(instructions="Say something.")
GOOD = json.dumps({"text": "hello"})


class Plainly(BaseModel):
    text: str


def ask(url: str, times: int = 1, models: tuple[str, ...] = ("m",), **changes: Any) -> list[str]:
    """Ask, and return the models that answered."""
    model = OpenAIModel("m", base_url=url, **{"timeout_seconds": 10.0, **changes})

    async def asking() -> list[str]:
        try:
            return [
                (await model.generate(PROMPT, Plainly, model=name)).model
                for name in models
                for _ in range(times)
            ]
        finally:
            await model.aclose()

    return asyncio.run(asking())


def understands(test: Callable[[Asked], bool], status: int = 400) -> Callable[[Asked], Reply]:
    """A server that takes some requests and refuses all others."""

    def script(asked: Asked) -> Reply:
        if not test(asked):
            return Reply(status, error_body("I do not understand"))
        return Reply(body=responses_body(GOOD) if is_responses(asked) else chat_body(GOOD))

    return script


def is_responses(asked: Asked) -> bool:
    return asked.path.endswith("/responses")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.openai.com/v1", (RESPONSES,)),
        ("https://API.OpenAI.com:443/v1/", (RESPONSES,)),
        ("https://api.mistral.ai/v1", (KNOWN["api.mistral.ai"],)),
        ("http://127.0.0.1:11434/v1", LADDER),
        ("https://api.openai.com.example.test/v1", LADDER),
        ("http://[::bad", LADDER),
    ],
)
def test_the_table_goes_by_host(url: str, expected: tuple[object, ...]) -> None:
    assert Dialects(url, "auto").ladder("m", tools=False) == expected


@pytest.mark.parametrize(
    ("api", "url", "expected"),
    [
        ("chat", "https://api.openai.com/v1", (CHAT, PLAIN_CHAT)),
        ("responses", "http://127.0.0.1/v1", (RESPONSES,)),
        ("chat", "https://api.deepseek.com", (KNOWN["api.deepseek.com"],)),
    ],
)
def test_an_api_that_was_chosen_is_kept_to(
    api: Api, url: str, expected: tuple[object, ...]
) -> None:
    assert Dialects(url, api).ladder("m", tools=True) == expected


def test_what_was_understood_is_remembered_by_model_and_by_tools() -> None:
    dialects = Dialects("http://127.0.0.1/v1", "auto")
    dialects.understood("m", CHAT, tools=False)
    assert dialects.ladder("m", tools=False) == (CHAT,)
    assert dialects.ladder("m", tools=True) == LADDER
    assert dialects.ladder("other", tools=False) == LADDER


@pytest.mark.parametrize("status", [404, 405, 501, 400, 422])
def test_a_server_without_responses_is_asked_over_chat_from_then_on(status: int) -> None:
    def chat(asked: Asked) -> bool:
        return not is_responses(asked)

    with serving(understands(chat, status)) as provider:
        ask(provider.url, times=3)
    paths = [asked.path.removeprefix("/v1/") for asked in provider.asked]
    assert paths == ["responses", *["chat/completions"] * 3]


def test_a_server_that_takes_no_schema_is_told_it_in_words() -> None:
    def plain(asked: Asked) -> bool:
        return not {"response_format", "max_completion_tokens", "text"} & set(asked.body)

    with serving(understands(plain)) as provider:
        ask(provider.url, times=2)
    assert len(provider.asked) == 4
    body = provider.asked[3].body
    assert set(body) == {"model", "messages", "max_tokens"}
    assert '"additionalProperties": false' in body["messages"][0]["content"]


def test_models_of_one_server_may_differ() -> None:
    def split(asked: Asked) -> bool:
        return is_responses(asked) == (asked.body["model"] == "new")

    with serving(understands(split, 404)) as provider:
        assert ask(provider.url, times=2, models=("new", "old")) == [
            "gpt-5.4-mini",
            "gpt-5.4-mini",
            "local-llama",
            "local-llama",
        ]
    assert [asked.body["model"] for asked in provider.asked] == ["new", "new", "old", "old", "old"]


def test_a_request_that_nobody_understands_tells_the_first_reason_and_teaches_nothing() -> None:
    number = 0

    def script(asked: Asked) -> Reply:
        nonlocal number
        number += 1
        return Reply(400, error_body(f"reason {number}"))

    with serving(script) as provider:
        for reason in ("reason 1", "reason 4"):
            with pytest.raises(ModelRejected, match=reason):
                ask(provider.url)


def test_the_reason_of_a_route_that_is_there_is_told() -> None:
    def script(asked: Asked) -> Reply:
        status, said = (404, "no route") if is_responses(asked) else (400, "too long")
        return Reply(status, error_body(said))

    with serving(script) as provider, pytest.raises(ModelRejected, match="too long"):
        ask(provider.url)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_not_asked_in_other_ways(status: int) -> None:
    with serving(Reply(status, error_body("busy"))) as provider, pytest.raises(ModelBusy):
        ask(provider.url)
    assert len(provider.asked) == 1


def test_once_understood_a_refusal_is_a_refusal() -> None:
    replies = [Reply(body=responses_body(GOOD)), Reply(400, error_body("too long"))]
    with serving(*replies) as provider, pytest.raises(ModelRejected, match="too long"):
        ask(provider.url, times=2)
    assert len(provider.asked) == 2


def test_the_ladder_is_within_the_time_of_one_call() -> None:
    replies = [Reply(404, error_body("no route")), Reply(drip_seconds=0.05)]
    with serving(*replies) as provider, pytest.raises(Exception, match=r"0\.5 s"):
        ask(provider.url, timeout_seconds=0.5)


class Free(BaseModel):
    """Has keys of any name."""

    counts: dict[str, int]


class AnyJson(BaseModel):
    value: JsonValue


@pytest.mark.parametrize("output", [Free, AnyJson])
def test_an_output_with_free_keys_is_not_asked_for_strictly(output: type[BaseModel]) -> None:
    assert OutputSchema.of(output).is_closed is False
    text = json.dumps({"counts": {"a": 1}, "value": {"b": [2]}})
    with serving(Reply(body=responses_body(text))) as provider:
        model = OpenAIModel("m", base_url=provider.url)

        async def asking() -> Generated[BaseModel]:
            try:
                return await model.generate(PROMPT, output)
            finally:
                await model.aclose()

        asyncio.run(asking())
    assert provider.asked[0].body["text"]["format"]["strict"] is False


def test_a_nested_output_is_asked_for_strictly() -> None:
    class Part(BaseModel):
        type: str
        note: str | None = None

    class Whole(BaseModel):
        parts: list[Part]
        properties: Part

    assert OutputSchema.of(Whole).is_closed is True


def test_what_was_said_before_comes_first() -> None:
    history = (Message(role="user", text="Hi"), Message(role="assistant", text="Hello"))
    prompt = Prompt(instructions="Go on.", history=history)
    with serving(Reply(body=responses_body(GOOD))) as provider:
        model = OpenAIModel("m", base_url=provider.url)

        async def asking() -> None:
            await model.generate(prompt, Plainly)
            await model.aclose()

        asyncio.run(asking())
    said = provider.asked[0].body["input"]
    assert [(each["role"], each["content"][:5]) for each in said] == [
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "<<<DA"),
    ]
    assert prompt.sha256(Plainly) != Prompt(instructions="Go on.").sha256(Plainly)
