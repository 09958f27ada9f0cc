"""The scripted language model, and the guard against real ones."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from pydantic import BaseModel, Field

from agents.llm.errors import InvalidOutput, ModelBusy, ToolLimitExceeded, UnknownTool
from agents.llm.factory import language_model
from agents.llm.port import Prompt
from agents.llm.tool import Tool, ToolLimits
from agents.testing import ModelCallForbidden, ScriptedModel, forbid_model_calls, uses
from agents.testing.double import ScriptExhausted
from envelope.usage import Usage


class Score(BaseModel):
    points: int = Field(ge=0, le=100)


class Other(BaseModel):
    text: str


class Number(BaseModel):
    value: int


PROMPT = Prompt(instructions="Judge.", task={"company": "Acme"})


def ask(scripted: ScriptedModel, output: Any = Score, **more: Any) -> Any:
    return asyncio.run(scripted.generate(PROMPT, output, **more))


def test_answers_come_in_order_and_calls_are_kept() -> None:
    model = ScriptedModel({"points": 1}, Score(points=2), lambda prompt: {"points": 3}, name="m")
    assert [ask(model).output.points for _ in range(3)] == [1, 2, 3]
    assert [call.prompt.task["company"] for call in model.calls] == ["Acme"] * 3
    assert ask(model.add({"points": 4}), model="other").model == "other"
    model.assert_done()
    with pytest.raises(ScriptExhausted, match="call 5, which wants a Score"):
        ask(model)


def test_what_was_not_asked_for_is_noticed() -> None:
    with pytest.raises(AssertionError, match="2 answer"):
        ScriptedModel({}, {}).assert_done()


def test_a_predicate_goes_before_the_script() -> None:
    model = ScriptedModel({"points": 1}).when(Other, {"text": "t"})
    model.when(lambda prompt, _: "Zeta" in prompt.data_text(), ModelBusy("busy"))
    assert ask(model, Other).output.text == "t"
    assert ask(model).output.points == 1
    assert ask(model, Other).output.text == "t"
    with pytest.raises(ModelBusy):
        asyncio.run(model.generate(Prompt(instructions="x", task={"c": "Zeta"}), Score))


def test_errors_are_raised() -> None:
    model = ScriptedModel(ModelBusy("busy"), ModelBusy("again"), KeyError)
    for error in (ModelBusy, ModelBusy, KeyError):
        with pytest.raises(error):
            ask(model)


def test_an_answer_that_does_not_fit_is_repaired_by_the_next() -> None:
    model = ScriptedModel({"points": 101}, {"points": 7}, {"points": 8})
    made = ask(model, check=lambda score: "too low" if score.points < 8 else None)
    assert made.output.points == 8
    assert made.usage.requests == 3
    complaints = model.calls[0].complaints
    assert complaints[0].startswith("points: ")
    assert complaints[1] == "too low"


def test_three_bad_answers_are_too_many() -> None:
    model = ScriptedModel(*[{"points": -1}] * 4)
    with pytest.raises(InvalidOutput, match="points"):
        ask(model)
    assert len(model.calls[0].complaints) == 3


def doubling(notes: list[tuple[str, str]]) -> Tool:
    async def call(arguments: Number) -> int:
        return arguments.value * 2

    return Tool(
        name="double",
        description="Doubles.",
        arguments=Number,
        call=call,
        note=lambda name, outcome: notes.append((name, outcome)),
    )


def test_tools_are_really_called() -> None:
    notes: list[tuple[str, str]] = []
    model = ScriptedModel(uses("double", value=21), uses("double", value="x"), {"points": 42})
    assert ask(model, tools=[doubling(notes)]).output.points == 42
    assert notes == [("double", "done"), ("double", "invalid")]
    assert model.calls[0].tool_results[0] == '{"result":42}'
    assert model.calls[0].tools == ("double",)


def test_tools_have_the_limits_of_a_real_model() -> None:
    with pytest.raises(ToolLimitExceeded):
        ask(
            ScriptedModel(*[uses("double", value=1)] * 3),
            tools=[doubling([])],
            limits=ToolLimits(steps=2),
        )
    with pytest.raises(UnknownTool):
        ask(ScriptedModel(*[uses("shell", command="rm")] * 2), tools=[doubling([])])


def test_the_text_is_streamed() -> None:
    pieces: list[str] = []
    ask(ScriptedModel({"points": 1}, usage=Usage(requests=1)), on_delta=pieces.append)
    assert "".join(pieces) == '{"points":1}'


def unreachable() -> Any:
    return language_model("sk-test", "http://127.0.0.1:1/v1", "gpt-x", 5.0)


def test_a_real_model_is_refused_before_anything_is_sent() -> None:
    with forbid_model_calls(), pytest.raises(ModelCallForbidden, match="'gpt-x' was asked"):
        asyncio.run(unreachable().generate(PROMPT, Score))


def test_a_model_allowed_by_name_goes_through() -> None:
    with forbid_model_calls(allow=["gpt-x"]), pytest.raises(ModelBusy):
        asyncio.run(unreachable().generate(PROMPT, Score))


def test_clients_of_the_tests_own_are_refused_too() -> None:
    with (
        forbid_model_calls(allow=["gpt-x"]),
        openai.OpenAI(api_key="sk-test", base_url="http://127.0.0.1:1/v1") as client,
        pytest.raises(ModelCallForbidden, match="'gpt-y' was asked"),
    ):
        client.responses.create(model="gpt-y", input="x")


def test_the_guard_nests_and_leaves_nothing_behind() -> None:
    with forbid_model_calls():
        with forbid_model_calls(allow=["gpt-x"]), pytest.raises(ModelBusy):
            asyncio.run(unreachable().generate(PROMPT, Score))
        with pytest.raises(ModelCallForbidden):
            asyncio.run(unreachable().generate(PROMPT, Score))
    assert "request" not in vars(openai.AsyncOpenAI)
    with pytest.raises(ModelBusy):
        asyncio.run(unreachable().generate(PROMPT, Score))
