"""How far a model may go with its tools."""

from __future__ import annotations

import asyncio

import pytest

from agents.llm.errors import (
    InvalidOutput,
    ToolLimitExceeded,
)
from agents.llm.openai_model import OpenAIModel
from agents.llm.tool import ToolLimits
from agents.tools import tools_of
from envelope.resources import Resources
from envelope.running import RUNNING, Running, utc_now
from envelope.usage import Usage
from tests.integration.llm_tool_rig import (
    PROMPT,
    Asking,
    Size,
    Trouble,
    called,
    calls,
    gates,
    one,
    says,
)
from tests.integration.openai_provider import (
    serving,
)
from tests.rig.agent_step import AgentStep


@pytest.fixture(autouse=True)
def _fresh() -> None:
    called.clear()
    gates.clear()


def test_steps_are_limited() -> None:
    with (
        serving(calls("responses", one("Acme"))) as provider,
        pytest.raises(ToolLimitExceeded, match="3 tool calls; 2 are allowed"),
    ):
        Asking(provider).ask("llm-size", limits=ToolLimits(steps=2))
    assert len(called) == 2
    assert len(provider.asked) == 3


def test_one_answer_cannot_call_more_than_all_steps() -> None:
    many = [one(f"A{number}", id_=f"c{number}") for number in range(500)]
    with serving(calls("responses", *many)) as provider, pytest.raises(ToolLimitExceeded):
        Asking(provider).ask("llm-size")
    assert called == []


def test_tokens_are_limited() -> None:
    """Each request is said to use 1,200 tokens."""
    with (
        serving(calls("responses", one("Acme"))) as provider,
        pytest.raises(ToolLimitExceeded, match="2,400 tokens"),
    ):
        Asking(provider).ask("llm-size", limits=ToolLimits(tokens=1_300))
    assert len(provider.asked) == 2


def test_money_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    priced = Usage(requests=1, input_tokens=1, output_tokens=1, cost_usd=0.02)
    monkeypatch.setattr("agents.llm.server.usage_of", lambda *_: priced)
    with (
        serving(calls("responses", one("Acme"))) as provider,
        pytest.raises(ToolLimitExceeded, match=r"0\.0600 USD"),
    ):
        Asking(provider).ask("llm-size", limits=ToolLimits(usd=0.05))
    assert len(provider.asked) == 3


def test_the_step_pays_for_a_loop_that_failed() -> None:
    running = Running("r", "s", "a", 1, None, utc_now(), Usage())

    async def asking() -> None:
        token = RUNNING.set(running)
        model = OpenAIModel("gpt-5.4-mini", base_url=provider.url)
        with pytest.raises(ToolLimitExceeded):
            await model.generate(PROMPT, Size, tools=tools, limits=ToolLimits(steps=1))
        RUNNING.reset(token)
        await model.aclose()

    with serving(calls("responses", one("Acme"))) as provider:
        tools = tools_of(AgentStep(Resources())._context("a", 1), "llm-size")
        asyncio.run(asking())
    assert running.usage.requests == 2


@pytest.mark.parametrize("parallel", [1, 3])
def test_so_many_run_at_once(parallel: int) -> None:
    inside, most = 0, 0

    async def gate() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        for _ in range(20):
            await asyncio.sleep(0)
        inside -= 1

    gates.append(gate)
    wanted = [one("Gate", id_=f"c{number}") for number in range(6)]
    with serving(calls("responses", *wanted), says("responses")) as provider:
        Asking(provider).ask("llm-size", limits=ToolLimits(parallel=parallel))
    assert most == parallel


def test_an_error_stops_the_tools_beside_it() -> None:
    cancelled = 0

    async def gate() -> None:
        nonlocal cancelled
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled += 1
            raise

    gates.append(gate)
    wanted = [one("Gate", id_="a"), one("Gate", id_="b"), one("Trouble", id_="c")]
    with serving(calls("responses", *wanted)) as provider, pytest.raises(Trouble):
        Asking(provider).ask("llm-size")
    assert cancelled == 2


def test_repairs_are_limited_in_money_too() -> None:
    with serving(says("responses", "{}")) as provider:
        for limits, kind in ((ToolLimits(tokens=1_000), ToolLimitExceeded), (None, InvalidOutput)):
            with pytest.raises(kind):
                Asking(provider).ask(limits=limits)
