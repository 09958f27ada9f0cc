"""Tools are registered once, named plainly, and typed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel, JsonValue

from agents.llm.offline_model import OfflineModel
from agents.llm.port import Document, Generated, LanguageModel, Prompt
from agents.tools import TOOLS, tool, tools_of
from envelope.errors import AlreadyRegistered, NotRegistered
from envelope.resources import Resources
from tests.rig.agent_step import AgentStep

PROMPT = Prompt(instructions="Say.", documents=(Document(id="F1", text="Runs are durable."),))


class Words(BaseModel):
    """Repeat words."""

    words: str


class Undescribed(BaseModel):
    words: str


@tool("registry-echo")
async def echo(ctx: Any, arguments: Words) -> JsonValue:
    return [ctx.tenant, arguments.words]


@tool("registry-model")
def with_model(ctx: Any, arguments: Words) -> Words:
    """Return a model.

    And say so at length.
    """
    return arguments


def bound(*names: str) -> Any:
    step = AgentStep(Resources(), tenant="acme")
    return step, tools_of(step._context("a", 1), *names)


def test_a_tool_is_bound_to_the_step_that_uses_it() -> None:
    step, (one, other) = bound("registry-echo", "registry-model")
    words = Words(words="a b")
    assert asyncio.run(one.call(words)) == ["acme", "a b"]
    assert asyncio.run(other.call(words)) == {"words": "a b"}
    one.note(one.name, "done")
    assert step.events == [("llm.tool", {"name": "registry-echo", "outcome": "done"})]


def test_the_docstring_says_what_it_does_or_else_that_of_its_arguments() -> None:
    _, (one, other) = bound("registry-echo", "registry-model")
    assert one.description == "Repeat words."
    assert other.description == "Return a model.\n\nAnd say so at length."


def test_a_missing_tool_lists_what_exists() -> None:
    with pytest.raises(NotRegistered, match=r"registry-echo.*Did you mean 'registry-echo'"):
        bound("registry-ecko")


def test_the_function_stays_as_it_is_and_a_name_is_taken_once() -> None:
    assert asyncio.run(echo(AgentStep(Resources())._context("a", 1), Words(words="x"))) == [
        "default",
        "x",
    ]
    tool("registry-echo")(echo)
    with pytest.raises(AlreadyRegistered, match="registry-echo"):
        tool("registry-echo")(with_model)
    assert TOOLS.get("registry-echo").function is echo


@pytest.mark.parametrize("name", ["", "a b", "a.b", "ä", "x" * 65])
def test_a_name_that_no_provider_takes_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="tool name"):
        tool(name)


def no_arguments(ctx: Any) -> JsonValue:
    """Do nothing."""


def untyped(ctx: Any, arguments) -> JsonValue:  # type: ignore[no-untyped-def] # noqa: ANN001
    """Do nothing."""


def wrong_type(ctx: Any, arguments: dict[str, int]) -> JsonValue:
    """Do nothing."""


def silent(ctx: Any, arguments: Undescribed) -> JsonValue:
    return None


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (no_arguments, "must have the shape"),
        (untyped, "annotate 'arguments'"),
        (wrong_type, "annotate 'arguments'"),
        (silent, "write a docstring"),
    ],
)
def test_a_function_of_another_shape_is_refused(function: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        tool("registry-wrong")(function)
    assert "registry-wrong" not in TOOLS


class Phrase(BaseModel):
    text: str


def test_the_offline_model_speaks_at_once_and_calls_no_tool() -> None:
    heard: list[str] = []
    step, tools = bound("registry-echo")
    model: LanguageModel = OfflineModel()

    async def asking() -> Generated[Phrase]:
        return await model.generate(
            PROMPT, Phrase, on_delta=heard.append, tools=tools, model="another"
        )

    made = asyncio.run(asking())
    assert heard == ['{"text":"Runs are durable."}']
    assert (made.model, step.events) == ("offline-composer-1", [])
    assert made.prompt_sha256 == PROMPT.sha256(Phrase, tools)
