"""Model servers that none of us wrote: mock-ai-api and fakellm, as real processes."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel, JsonValue

from agents.llm.account import AccountLimits
from agents.llm.errors import (
    InvalidOutput,
    ModelAccessDenied,
    ModelBusy,
    ModelRejected,
    ToolLimitExceeded,
    UnknownTool,
)
from agents.llm.image_port import ImagePrompt
from agents.llm.openai_images import OpenAIImages
from agents.llm.openai_model import OpenAIModel
from agents.llm.port import Generated, Prompt
from agents.llm.tool import ToolLimits
from agents.tools import tool, tools_of
from envelope.ports.rates import Rate
from envelope.resources import Resources
from tests.integration.fakellm_rules import RULES
from tests.rig.agent_step import AgentStep
from tests.services.child import Child
from tests.services.ports import free_port
from tests.services.waiting import wait_until
from worker.coordination.rates.in_process import InProcessRates

M = TypeVar("M", bound=BaseModel)


class Summary(BaseModel):
    """What was found."""

    summary: str


class Query(BaseModel):
    query: str


class Write(BaseModel):
    path: str
    contents: str


written: list[Any] = []


@tool("independent-search")
async def search(ctx: Any, arguments: Query) -> JsonValue:
    """Search the web."""
    return f"found {arguments.query}"


@tool("Write")
def write(ctx: Any, arguments: Write) -> JsonValue:
    """Write a file."""
    written.append(arguments)
    return "written"


@pytest.fixture(scope="module")
def fakellm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Speaks Chat Completions alone, and counts the turns of a conversation."""
    folder = tmp_path_factory.mktemp("fakellm")
    rules = folder / "rules.yaml"
    rules.write_text(json.dumps(RULES))
    port = free_port()
    code = "from fakellm.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "--port", str(port), "--config", str(rules)]
    yield from served(command, folder, port, "/_fakellm/stats")


@pytest.fixture(scope="module")
def mock_ai(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Speaks Responses, Chat Completions and images; the model's name says how it behaves."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "app.openai_app:app", "--port", str(port)]
    yield from served(command, tmp_path_factory.mktemp("mock-ai"), port, "/health")


def served(command: list[str], folder: Path, port: int, health: str) -> Iterator[str]:
    child = Child(command, folder / "log", cwd=folder)
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(url + health), 60, f"{command} serves")
    yield f"{url}/v1"
    child.kill()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - our own server
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Asking:
    """Asks a server, and keeps what was heard and told."""

    def __init__(self, url: str, model: str = "gpt-4.1", **changes: Any) -> None:
        self.heard: list[str] = []
        self.step = AgentStep(Resources())
        self._model = OpenAIModel(model, base_url=url, timeout_seconds=20, **changes)

    @property
    def outcomes(self) -> list[str]:
        return [data["outcome"] for _, data in self.step.events]

    def ask(self, what: str, output: type[M], *names: str, **more: Any) -> Generated[M]:
        tools = tools_of(self.step._context("independent", 1), *names)

        async def asking() -> Generated[M]:
            try:
                prompt = Prompt(instructions="Answer.", task={"do": what})
                return await self._model.generate(prompt, output, tools=tools, **more)
            finally:
                await self._model.aclose()

        return asyncio.run(asking())


STREAMED = pytest.mark.parametrize("streamed", [False, True])


@STREAMED
def test_fakellm_says_it_plainly(fakellm: str, streamed: bool) -> None:
    """It has no /responses, and tells no usage of streams."""
    asking = Asking(fakellm)
    listening = {"on_delta": asking.heard.append} if streamed else {}
    made = asking.ask(f"say plainly {streamed}", Summary, **listening)
    assert made.output.summary == "said it"
    assert (made.usage.output_tokens > 0) is not streamed
    assert "".join(asking.heard) == ('{"summary": "said it"}' if streamed else "")
    assert (len(asking.heard) > 1) is streamed


@STREAMED
def test_fakellm_uses_tools_over_three_turns(fakellm: str, streamed: bool) -> None:
    asking = Asking(fakellm)
    listening = {"on_delta": asking.heard.append} if streamed else {}
    made = asking.ask(f"research {streamed}", Summary, "independent-search", **listening)
    assert made.output.summary == "found it"
    assert made.usage.requests == 3
    assert asking.outcomes == ["done", "done", "invalid"]


def test_fakellm_is_told_what_was_wrong(fakellm: str) -> None:
    made = Asking(fakellm).ask("say wrongly", Summary)
    assert (made.output.summary, made.usage.requests) == ("corrected", 2)


@pytest.mark.parametrize("what", ["please be busy", "please be down"])
def test_fakellm_in_trouble_is_worth_another_attempt(fakellm: str, what: str) -> None:
    with pytest.raises(ModelBusy):
        Asking(fakellm).ask(what, Summary)


@STREAMED
def test_mock_ai_answers_over_responses(mock_ai: str, streamed: bool) -> None:
    """It says the same to everybody, which is no JSON: the repairs end, and all of it is heard."""
    asking = Asking(mock_ai)
    listening = {"on_delta": asking.heard.append} if streamed else {}
    with pytest.raises(InvalidOutput, match="3 tries"):
        asking.ask("hello", Summary, **listening)
    greeting = "Hello. It's nice to meet you."
    assert "".join(asking.heard) == (greeting * 3 if streamed else "")


@pytest.mark.parametrize("api", ["responses", "chat"])
@STREAMED
@pytest.mark.parametrize(
    ("scenario", "kind"),
    [
        ("mock-400", ModelRejected),
        ("mock-401", ModelAccessDenied),
        ("mock-429", ModelBusy),
        ("mock-500", ModelBusy),
        ("mock-503", ModelBusy),
    ],
)
def test_mock_ai_refuses(
    mock_ai: str, api: Any, streamed: bool, scenario: str, kind: type[Exception]
) -> None:
    listening = {"on_delta": print} if streamed else {}
    with pytest.raises(kind):
        Asking(mock_ai, f"gpt-4.1:{scenario}", api=api).ask("hello", Summary, **listening)


def test_mock_ai_pauses_the_account_with_its_429(mock_ai: str) -> None:
    async def asking() -> float:
        rates = InProcessRates()
        limits = AccountLimits(rates=rates, requests=Rate(amount=9, seconds=1, burst=9))
        model = OpenAIModel("gpt-4.1:mock-429", base_url=mock_ai, limits=limits)
        with pytest.raises(ModelBusy):
            await model.generate(Prompt(instructions="Hi."), Summary)
        await model.aclose()
        (report,) = await rates.report()
        await rates.close()
        return report.paused_seconds

    assert asyncio.run(asking()) > 0


@STREAMED
def test_mock_ai_wants_its_tool_again_and_again(mock_ai: str, streamed: bool) -> None:
    scenario = "mock-tool-stream" if streamed else "mock-tool-call"
    asking = Asking(mock_ai, f"gpt-4.1:{scenario}", api="chat")
    listening = {"on_delta": asking.heard.append} if streamed else {}
    written.clear()
    with pytest.raises(ToolLimitExceeded):
        asking.ask("write", Summary, "Write", limits=ToolLimits(steps=2), **listening)
    assert written == [Write(path="tmp/mock-file.txt", contents="mock output")] * 2
    assert asking.outcomes == ["done", "done"]


def test_mock_ai_cannot_call_a_tool_that_was_not_given(mock_ai: str) -> None:
    asking = Asking(mock_ai, "gpt-4.1:mock-tool-call", api="chat")
    with pytest.raises(UnknownTool, match="'Write'"):
        asking.ask("write", Summary, "independent-search")


def test_mock_ai_breaks_its_arguments(mock_ai: str) -> None:
    asking = Asking(mock_ai, "gpt-4.1:mock-bad-tool-json", api="chat")
    with pytest.raises(ToolLimitExceeded):
        asking.ask("write", Summary, "Write", limits=ToolLimits(steps=2))
    assert asking.outcomes == ["invalid", "invalid"]


def test_mock_ai_draws(mock_ai: str) -> None:
    async def drawing() -> str:
        images = OpenAIImages("gpt-image-1", base_url=mock_ai)
        drawn = await images.draw(ImagePrompt(description="A dot"))
        await images.aclose()
        assert len(drawn.content) > 60
        return drawn.media_type

    assert asyncio.run(drawing()) == "image/png"
