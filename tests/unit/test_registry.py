from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from agents import AGENTS, agent
from envelope import Envelope
from envelope.errors import AlreadyRegistered, NotRegistered
from envelope.registry import Registry
from orchestrators import FLOWS, orchestrator


class Words(BaseModel):
    text: str


class Thing:
    def __init__(self, name: str, version: int = 1, where: str = "a") -> None:
        self.name, self.version, self.where = name, version, where


def test_the_newest_version_is_found_unless_another_is_named() -> None:
    held: Registry[Any] = Registry("flow")
    old, new = held.add(Thing("lead", 1)), held.add(Thing("lead", 2, "b"))
    assert held.get("lead") is new
    assert held.get("lead", 1) is old
    assert held.versions() == {"lead": [1, 2]}
    with pytest.raises(NotRegistered, match=r"No version 3 of flow 'lead' here.*1, 2"):
        held.get("lead", 3)


def test_a_missing_name_lists_what_exists_and_the_nearest() -> None:
    held: Registry[Any] = Registry("agent")
    with pytest.raises(NotRegistered, match="Registered: none"):
        held.get("x")
    held.add(Thing("copywriter"))
    with pytest.raises(NotRegistered, match=r"copywriter.*Did you mean 'copywriter'\?"):
        held.get("copywritr")


def test_two_definitions_of_one_name_are_refused_and_both_are_named() -> None:
    held: Registry[Any] = Registry("agent")
    held.add(Thing("x", where="one.py"))
    held.add(Thing("x", where="one.py"))
    with pytest.raises(AlreadyRegistered, match=r"one\.py and two\.py"):
        held.add(Thing("x", where="two.py"))


def test_the_decorators_leave_the_function_and_keep_its_model() -> None:
    @agent("registry-agent", concurrency=3, inline=True, timeout=5)
    def work(ctx: Any, request: Words) -> Envelope:
        return Envelope.from_records([request.model_dump()], source="x")

    @orchestrator("registry-flow", version=2, singleton="run:{user}:{thread}")
    async def flow(ctx: Any, request: Words) -> Envelope:
        return await ctx.call("registry-agent", request)

    assert work(None, Words(text="a")).records[0].data == {"text": "a"}
    known = AGENTS.get("registry-agent")
    assert (known.model, known.concurrency, known.inline, known.is_async) == (Words, 3, True, False)
    assert FLOWS.get("registry-flow").singleton == "run:{user}:{thread}"


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a:b", "a*", "ä", "a/b"])
def test_names_that_cannot_stand_in_a_queue_s_name_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="use letters, digits"):
        agent(name)


def test_functions_of_another_shape_are_refused() -> None:
    with pytest.raises(TypeError, match="1 parameters"):

        @agent("bad-1")
        def one(ctx: Any) -> Envelope: ...

    with pytest.raises(TypeError, match="pydantic model"):

        @agent("bad-2")
        def two(ctx: Any, request: int) -> Envelope: ...

    with pytest.raises(TypeError, match="return type"):

        @agent("bad-3")
        def three(ctx: Any, request: Words) -> dict[str, Any]: ...

    with pytest.raises(TypeError, match="async def"):

        @orchestrator("bad-4")
        def four(ctx: Any, request: Words) -> Envelope: ...

    with pytest.raises(ValueError, match="concurrency"):
        agent("bad-5", concurrency=0)
