"""Tasks as agents: called from flows, offline and with a scripted model."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any, TypeVar

import pytest
from pydantic import BaseModel

import agents.tasks.builtin
from agents.llm.image_port import DrawnImage, ImageModel, ImagePrompt
from agents.llm.offline_model import OfflineModel
from agents.llm.port import Check, Document, Generated, LanguageModel, OnDelta, Prompt
from agents.llm.tool import Tool, ToolLimits
from agents.registry import AGENTS
from agents.tasks import (
    INTENT,
    BrandRequest,
    GeneratedText,
    IntentAnalysis,
    IntentRequest,
    ModelRoutes,
    TextRequest,
    as_agent,
    task,
)
from agents.tasks.agent import function_of
from agents.tools import tool
from envelope import Envelope, Record, Usage
from envelope.errors import AlreadyRegistered, InvalidInput, NotRegistered, TooLarge
from envelope.ports.context import RunContext
from envelope.ports.journal_rows import RunState
from envelope.resources import Resources
from envelope.running import RUNNING
from orchestrators import run_inline
from orchestrators.registry import orchestrator
from tests.rig.agent_step import AgentStep
from tests.rig.engine_rig import checked_events, rigged

M = TypeVar("M", bound=BaseModel)


class Says:
    """A language model that says what it is told to and remembers how it was asked."""

    name = "said-1"

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    async def generate(
        self,
        prompt: Prompt,
        output: type[M],
        *,
        check: Check | None = None,
        on_delta: OnDelta | None = None,
        tools: Sequence[Tool] = (),
        limits: ToolLimits | None = None,
        model: str | None = None,
        name: str | None = None,
    ) -> Generated[M]:
        made = output.model_validate(self.answer)
        self.asked.append(
            {
                "prompt": prompt,
                "complaint": check(made) if check else None,
                "tools": [each.name for each in tools],
                "limits": limits,
                "model": model,
                "name": name,
            }
        )
        if on_delta is not None:
            for piece in ('{"te', 'xt": "Hel', 'lo"}'):
                on_delta(piece)
        usage = Usage(requests=1, input_tokens=7, output_tokens=5, cost_usd=0.01)
        running = RUNNING.get()
        if running is not None:
            running.add_usage(usage)
        return Generated(made, model or self.name, usage, prompt.sha256(output, tools))


class Draws:
    name = "drawn-1"

    def __init__(self, content: bytes = b"<svg/>") -> None:
        self.content = content

    async def draw(self, prompt: ImagePrompt) -> DrawnImage:
        return DrawnImage(
            content=self.content,
            media_type="image/svg+xml",
            model=self.name,
            usage=Usage(requests=1),
            prompt_sha256=prompt.sha256(),
        )


def resources(model: LanguageModel | None = None, images: ImageModel | None = None) -> Resources:
    made = Resources()
    made.provide(LanguageModel, lambda: model or OfflineModel())  # type: ignore[type-abstract] # a port
    made.provide(ImageModel, lambda: images or Draws())  # type: ignore[type-abstract] # a port
    made.provide(ModelRoutes, lambda: ModelRoutes({"fast": "small-1"}))
    return made


ASKED = {"text": "Please draw a banner for Acme Tools in #FF0000 and #00ff00."}


@orchestrator("task_agents_understand")
async def understand(ctx: RunContext, request: IntentRequest) -> Envelope:
    intent = await ctx.call("intent", request, key="intent")
    brand = await ctx.call("brand", {"text": request.text}, key="brand")
    hard = await ctx.call(
        "complexity",
        {"text": request.text, "intent": intent.records[0].data, "brand": brand.records[0].data},
        key="complexity",
    )
    return Envelope.from_records(
        [*intent.records, *brand.records, *hard.records], source="understand"
    )


def test_flows_call_them_and_see_progress() -> None:
    events: list[tuple[str, dict[str, Any]]] = []
    envelope = asyncio.run(
        run_inline(
            "task_agents_understand",
            ASKED,
            resources=resources(),
            on_event=lambda name, data: events.append((name, dict(data))),
        )
    )
    intent, brand, hard = envelope.records
    assert intent.data["intent"] == "create_image"
    assert (brand.data["colors"], brand.data["name"]) == (["#ff0000", "#00ff00"], "Acme Tools")
    assert hard.data["level"] == "simple"
    progress = [
        (data["step"], data["progress"]) for name, data in events if name == "task.progress"
    ]
    assert progress == [("intent", 0.25), ("brand", 0.5), ("complexity", 0.75)]
    assert events[0][1]["data"] == {
        "type": "analysis",
        "function": "analyze_intent",
        "model": "offline-composer-1",
        "cached": False,
    }


def test_the_record_knows_where_it_comes_from_and_what_it_cost() -> None:
    answer = {"intent": "ask", "confidence": 0.5, "summary": "A question.", "names": []}
    model = Says(answer)
    envelope = AgentStep(resources(model)).run("intent", {"text": "Why?"})
    (record,) = envelope.records
    assert record.data == answer
    assert record.provenance.source == "intent"
    assert record.provenance.agent == "intent"
    assert record.provenance.model == "said-1"
    prompt = model.asked[0]["prompt"]
    assert record.provenance.prompt_sha256 == prompt.sha256(IntentAnalysis)
    assert envelope.metadata.usage.cost_usd == 0.01
    assert envelope.metadata.usage.input_tokens == 7


def test_every_predefined_agent_works_without_a_key() -> None:
    step = AgentStep(resources())
    pages = [{"id": "D1", "text": "Acme makes tools for professionals. They last for years."}]
    for agent, request in {
        "intent": ASKED,
        "brand": {**ASKED, "documents": pages, "company": "Acme"},
        "complexity": ASKED,
        "text": {"text": "Tools", "documents": pages},
        "completion": {"text": "Acme makes tools.", "documents": pages},
        "image_task": {"text": "A hammer", "headline": "Acme"},
    }.items():
        (record,) = step.run(agent, request).records
        again = step.run(agent, request).records[0]
        assert record.data == again.data, f"{agent} is deterministic"
    assert step.run("text", {"text": "T", "documents": pages}).records[0].data == {
        "text": "Acme makes tools for professionals. They last for years."
    }


def test_a_completion_needs_something_to_add_offline() -> None:
    with pytest.raises(Exception, match="continues a text only with sentences of `documents`"):
        AgentStep(resources()).run("completion", {"text": "It was a dark night."})


def test_texts_are_streamed_and_analyses_are_not() -> None:
    model = Says({"text": "Hello"})
    pieces: list[str] = []

    async def main() -> None:
        context = AgentStep(resources(model))._context("text", 1)
        streaming = type(context)(**{**_fields(context), "streamer": pieces.append})
        await function_of(agents_task("text"))(streaming, TextRequest(text="Greeting"))
        model.answer = {"intent": "ask", "confidence": 0.5, "summary": "A.", "names": []}
        await function_of(INTENT)(streaming, IntentRequest(text="Why?"))

    asyncio.run(main())
    assert pieces == ["Hel", "lo"]


def agents_task(name: str) -> Any:
    return agents.tasks.PREDEFINED[name]


def _fields(context: Any) -> dict[str, Any]:
    return {name: getattr(context, name) for name in type(context).__dataclass_fields__}


def test_a_text_that_is_too_long_is_complained_of() -> None:
    model = Says({"text": "one two three four five six"})
    AgentStep(resources(model)).run("text", {"text": "x", "max_words": 4})
    assert model.asked[0]["complaint"] == "text: it has 6 words; at most 4 are allowed"
    AgentStep(resources(model)).run("text", {"text": "x", "max_words": 5})
    assert model.asked[1]["complaint"] is None


class Place(BaseModel):
    name: str


@tool("task_agents_weather")
async def weather(ctx: Any, arguments: Place) -> str:
    """Tell the weather of a place."""
    return f"sunny in {arguments.name}"


def routed(name: str) -> Any:
    return (
        task(name)
        .type("analysis")
        .system_prompt("You plan.")
        .user_prompt("Plan for {name}.")
        .input(Place)
        .function(GeneratedText, name="plan")
        .progress(0)
        .tools("task_agents_weather")
        .limits(ToolLimits(steps=2))
    )


def test_tools_limits_model_and_route_reach_the_model() -> None:
    as_agent(routed("task_agents_route").route("fast").build(), inline=True)
    as_agent(routed("task_agents_model").model("large-1").build())
    as_agent(routed("task_agents_lost").route("slow").build())
    model = Says({"text": "Walk."})
    step = AgentStep(resources(model))
    (record,) = step.run("task_agents_route", {"name": "Rome"}).records
    assert record.provenance.model == "small-1"
    assert model.asked[0]["tools"] == ["task_agents_weather"]
    assert model.asked[0]["limits"] == ToolLimits(steps=2)
    step.run("task_agents_model", {"name": "Rome"})
    assert model.asked[1]["model"] == "large-1"
    assert model.asked[1]["name"] is None
    with pytest.raises(NotRegistered, match="No route named 'slow' leads to a model. Routes: fast"):
        step.run("task_agents_lost", {"name": "Rome"})


def test_a_schema_s_own_name_reaches_the_model() -> None:
    named = routed("task_agents_schema").function(GeneratedText, schema="travel_plan").build()
    as_agent(named, inline=True)
    model = Says({"text": "Walk."})
    AgentStep(resources(model)).run("task_agents_schema", {"name": "Rome"})
    assert model.asked[0]["name"] == "travel_plan"
    assert "`generated_text`" in model.asked[0]["prompt"].instructions


def test_a_tool_that_is_not_registered_is_named() -> None:
    as_agent(routed("task_agents_untooled").tools("task_agents_wether").build())
    with pytest.raises(NotRegistered, match="task_agents_weather"):
        AgentStep(resources(Says({"text": "x"}))).run("task_agents_untooled", {"name": "Rome"})


def test_a_picture_is_a_record_too() -> None:
    (record,) = AgentStep(resources()).run("image_task", {"text": "A cat"}).records
    assert record.data["media_type"] == "image/svg+xml"
    assert base64.b64decode(str(record.data["content_base64"])) == b"<svg/>"
    assert record.data["sha256"] == hashlib.sha256(b"<svg/>").hexdigest()
    assert record.data["size_bytes"] == 6
    assert record.provenance.model == "drawn-1"
    large = resources(images=Draws(b"x" * 700_001))
    with pytest.raises(TooLarge, match="700,001 bytes"):
        AgentStep(large).run("image_task", {"text": "A cat"})


def test_what_is_made_of_records_derives_from_them() -> None:
    class Facts(BaseModel):
        facts: list[Record]

    as_agent(
        task("task_agents_derived")
        .type("text_generation")
        .system_prompt("You write.")
        .user_prompt("Write about the documents.")
        .input(Facts)
        .progress(1)
        .build()
    )
    fact = Record.of({"text": "Acme was founded in 1902."}, source="docs")
    request = Facts(facts=[fact])
    (record,) = AgentStep(resources()).run("task_agents_derived", request).records
    assert record.provenance.derived_from == (fact.id,)


def test_an_agent_keeps_the_tasks_timeout_and_retries() -> None:
    built = routed("task_agents_limits").timeout(7).retries(1).build()
    made = as_agent(built, name="task_agents_other", concurrency=3, rate="5/min", version=2)
    assert AGENTS.get("task_agents_other") is made
    assert (made.concurrency, made.rate, made.timeout_seconds, made.version) == (3, "5/min", 7, 2)
    assert made.retries.attempts == 2
    assert made.model is Place
    again = as_agent(built, name="task_agents_other", version=2)
    assert again.where == made.where, "a module that is imported twice"
    with pytest.raises(AlreadyRegistered, match="task_agents_other"):
        as_agent(routed("task_agents_limits").build(), name="task_agents_other", version=2)
    with pytest.raises(ValueError, match="concurrency must be at least 1"):
        as_agent(built, concurrency=0)


def test_bad_input_is_refused_before_anything_is_asked() -> None:
    model = Says({})
    with pytest.raises(InvalidInput, match="text"):
        AgentStep(resources(model)).run("intent", {"txt": "x"})
    assert model.asked == []


def test_documents_may_be_given_as_models() -> None:
    request = BrandRequest(text="A brand.", documents=(Document(id="D", text="Fun! Wow! Fun!"),))
    (record,) = AgentStep(resources()).run("brand", request).records
    assert record.data["tone"] == "playful"


def test_a_run_journals_their_records_usage_and_progress() -> None:
    async def main() -> None:
        model = Says({"intent": "ask", "confidence": 0.5, "summary": "A question.", "names": []})
        async with rigged() as rig:
            for name in "ab":
                rig.worker(name).parts.resources.provide(LanguageModel, lambda: model)  # type: ignore[type-abstract] # a port
            run = await rig.finish("task_agents_only_intent", {"text": "Why?"})
            assert run.state is RunState.SUCCEEDED, run.failure
            events = await rig.events(run.run_id)
            assert "task.progress" in checked_events(events)
            (told,) = [json.loads(each.data) for each in events if each.type == "task.progress"]
            assert (told["step"], told["progress"]) == ("intent", 0.25)
            step = (await rig.steps(run.run_id))["intent"]
            envelope = Envelope.from_json(step.result or "")
            assert envelope.metadata.usage.cost_usd == 0.01
            assert envelope.records[0].provenance.model == "said-1"
            await rig.execute(run.run_id, "b")
            assert len(model.asked) == 1, "a committed step never executes again"

    asyncio.run(main())


@orchestrator("task_agents_only_intent")
async def only_intent(ctx: RunContext, request: IntentRequest) -> Envelope:
    return await ctx.call("intent", request, key="intent")
