"""One trace for a run: through both processes, a crash, its model calls and its commits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from agents import agent
from agents.llm.factory import language_model
from agents.llm.port import LanguageModel, Prompt
from agents.llm.watch import unwatched
from control.async_manager import AsyncCampaignManager
from envelope import Envelope
from envelope.errors import Terminal
from envelope.ports.journal_rows import RunState
from orchestrators import orchestrator
from tests.rig.engine_rig import rigged
from worker.backend import Backend
from worker.journal.sql import SqlJournal
from worker.settings import Settings
from worker.telemetry.span_ids import claim_span_id, trigger_span_id
from worker.telemetry.telemetry import Telemetry
from worker.telemetry.tracer import Tracer
from worker.telemetry.tracing import tracer_of

if "CI" not in os.environ:  # there it must be installed
    pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from worker.telemetry.otel import OtelTracer

TRACE = "5" * 31 + "a"
SECRET = "canary-of-a-payload"


class Ask(BaseModel):
    secret: str = SECRET
    fail: bool = False


class Answer(BaseModel):
    answer: str


class Broken(Terminal):
    code = "TRC_BROKEN"


@agent("trc-near", inline=True)
async def trc_near(ctx: Any, request: Ask) -> Envelope:
    """Ask a model."""
    prompt = Prompt(instructions=request.secret, task={"it": request.secret})
    made = await ctx.resource(LanguageModel).generate(prompt, Answer)
    return Envelope.from_records([{"answer": made.output.answer}], source="trc")


@agent("trc-far")
async def trc_far(ctx: Any, request: Ask) -> Envelope:
    """Fail on demand."""
    if request.fail:
        raise Broken(f"broken by {request.secret}")
    return Envelope.from_records([{"far": True}], source="trc")


@orchestrator("trc-flow")
async def trc_flow(ctx: Any, request: Ask) -> Envelope:
    """One step here, one far."""
    await ctx.call("trc-near", request, key="near")
    return await ctx.call("trc-far", request, key="far")


@orchestrator("trc-parent")
async def trc_parent(ctx: Any, request: Ask) -> Envelope:
    """Start a child."""
    return await ctx.child("trc-flow", request, key="child")


GATES: list[asyncio.Event] = []


@agent("trc-gated", inline=True)
async def trc_gated(ctx: Any, request: Ask) -> Envelope:
    """Wait until the test says so."""
    await GATES[-1].wait()
    return Envelope.from_records([{"done": True}], source="trc")


@orchestrator("trc-gated-child")
async def trc_gated_child(ctx: Any, request: Ask) -> Envelope:
    """Last as long as the test likes."""
    return await ctx.call("trc-gated", request)


@orchestrator("trc-gated-parent")
async def trc_gated_parent(ctx: Any, request: Ask) -> Envelope:
    """Wait for a child without a worker."""
    return await ctx.child("trc-gated-child", request, key="child")


class Recorder:
    """A process's telemetry and the spans that it finished."""

    def __init__(self, share: float = 1.0) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracer = OtelTracer(self.exporter, share=share)
        self.telemetry = Telemetry(tracer=self.tracer)

    def spans(self) -> list[ReadableSpan]:
        self.tracer._provider.force_flush()
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> ReadableSpan:
        found = [span for span in self.spans() if span.name == name]
        assert len(found) == 1, f"{name}: {[span.name for span in self.spans()]}"
        return found[0]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder()
    yield made
    made.telemetry.close()


def ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent else None


def all_text(spans: Sequence[ReadableSpan]) -> str:
    return " ".join(span.to_json() for span in spans)


def provide_model(rig: Any, watch: Any) -> None:
    for service in rig.workers.values():
        service.parts.resources.provide(
            LanguageModel,  # type: ignore[type-abstract] # a port is provided under its Protocol
            lambda: language_model(None, None, "m", 1.0, watch=watch),
        )


def executed(recorder: Recorder, flow: str = "trc-flow", **payload: Any) -> Any:
    async def scenario() -> Any:
        async with rigged(telemetry=recorder.telemetry) as rig:
            provide_model(rig, recorder.telemetry.model)
            run_id = await rig.accept(flow, payload, trace_id=TRACE)
            if await rig.execute(run_id) is RunState.WAITING:  # as it may be on a busy machine
                await rig.worker("a").reconciler.round()
            return await rig.until_ended(run_id)

    return asyncio.run(scenario())


def test_spans_of_a_run_hang_together(recorder: Recorder) -> None:
    run = executed(recorder)
    assert run.state is RunState.SUCCEEDED
    assert {ids(span)[0] for span in recorder.spans()} == {int(TRACE, 16)}
    root, claim = trigger_span_id(run.run_id), claim_span_id(run.run_id, 1)
    assert ids(recorder.named("run trc-flow"))[1] == claim
    assert parent(recorder.named("run trc-flow")) == root
    assert parent(recorder.named("queue runs.trc-flow")) == root
    near = recorder.named("invoke_agent trc-near")
    assert parent(near) == claim
    assert parent(recorder.named("chat offline-composer-1")) == ids(near)[1]
    assert parent(recorder.named("step trc-far")) == claim
    assert parent(recorder.named("invoke_agent trc-far")) == ids(recorder.named("step trc-far"))[1]


def test_model_calls_follow_the_conventions(recorder: Recorder) -> None:
    executed(recorder)
    attributes = dict(recorder.named("chat offline-composer-1").attributes or {})
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.request.model"] == "offline-composer-1"
    assert attributes["gen_ai.response.model"] == "offline-composer-1"
    assert attributes["gen_ai.usage.input_tokens"] == 0
    attributes = dict(recorder.named("invoke_agent trc-near").attributes or {})
    assert attributes["gen_ai.agent.name"] == "trc-near"
    assert attributes["muster.attempt"] == 1


def test_spans_hold_neither_payload_nor_message(recorder: Recorder) -> None:
    run = executed(recorder, fail=True)
    assert run.state is RunState.FAILED
    failed = recorder.named("invoke_agent trc-far")
    assert dict(failed.attributes or {})["error.type"] == "TRC_BROKEN"
    assert not failed.status.is_ok
    assert SECRET not in all_text(recorder.spans())


def test_a_crash_does_not_end_the_trace() -> None:
    here, there = Recorder(), Recorder()

    async def scenario() -> str:
        async with rigged(telemetry=there.telemetry) as rig:
            provide_model(rig, there.telemetry.model)
            run_id = await rig.accept("trc-flow", {}, trace_id=TRACE)
            await rig.worker("a").lease.take()
            claim = await rig.journal.claim(run_id, "a")
            assert claim is not None
            with here.telemetry.run(claim):
                await rig.lose("a")  # its span is never sent: the process is gone
            await rig.worker("b").reconciler._rescue()
            assert await rig.execute(run_id, "b") is RunState.SUCCEEDED
            return run_id

    run_id = asyncio.run(scenario())
    again = there.named("run trc-flow")
    assert ids(again) == (int(TRACE, 16), claim_span_id(run_id, 3))
    assert parent(again) == trigger_span_id(run_id)
    assert dict(again.attributes or {})["muster.losses"] == 1
    assert not [span for span in there.spans() if span.name.startswith("queue runs.")]


def test_a_child_run_hangs_below_its_parent_s(recorder: Recorder) -> None:
    assert executed(recorder, "trc-parent").state is RunState.SUCCEEDED
    assert {ids(span)[0] for span in recorder.spans()} == {int(TRACE, 16)}
    trigger = recorder.named("trigger trc-flow")
    parents = [span for span in recorder.spans() if span.name == "run trc-parent"]
    assert parent(trigger) in {ids(span)[1] for span in parents}
    assert parent(recorder.named("run trc-flow")) == ids(trigger)[1]


def test_a_parent_that_was_suspended_triggered_its_child_once(recorder: Recorder) -> None:
    async def scenario() -> Any:
        GATES.append(asyncio.Event())
        async with rigged(telemetry=recorder.telemetry) as rig:
            run_id = await rig.accept("trc-gated-parent", {}, trace_id=TRACE)
            assert await rig.execute(run_id) is RunState.WAITING
            GATES[-1].set()
            return await rig.until_ended(run_id)

    assert asyncio.run(scenario()).state is RunState.SUCCEEDED
    names = [span.name for span in recorder.spans()]
    assert names.count("run trc-gated-parent") == 2
    assert names.count("trigger trc-gated-child") == 1
    assert names.count("queue runs.trc-gated-parent") == 1, "only its first claim ends the wait"
    spans = [ids(span) for span in recorder.spans()]
    assert len(set(spans)) == len(spans), "two spans have one id"


def test_a_trigger_inside_a_trace_belongs_to_it(recorder: Recorder) -> None:
    callers = TracerProvider(shutdown_on_exit=False).get_tracer("caller")

    async def scenario() -> Any:
        backend = await Backend.in_process(Settings())
        backend.telemetry = recorder.telemetry
        async with AsyncCampaignManager(backend) as manager:
            manager._dispatcher._resources.provide(
                LanguageModel,  # type: ignore[type-abstract] # as above
                lambda: language_model(None, None, "m", 1.0, watch=unwatched),
            )
            with callers.start_as_current_span("caller") as caller:
                handle = await manager.ingest_event({"flow": "trc-flow", "payload": {}})
            return caller.get_span_context(), (await backend.journal.run(handle.id))

    caller, run = asyncio.run(scenario())
    assert run.trace_id == f"{caller.trace_id:032x}"
    trigger = recorder.named("trigger trc-flow")
    assert ids(trigger) == (caller.trace_id, trigger_span_id(run.run_id))
    assert parent(trigger) == caller.span_id


def test_without_a_caller_s_trace_the_trigger_begins_one(recorder: Recorder) -> None:
    async def scenario() -> Any:
        backend = await Backend.in_process(Settings())
        backend.telemetry = recorder.telemetry
        async with AsyncCampaignManager(backend) as manager:
            event = {"flow": "trc-flow", "payload": {}, "trace_id": TRACE}
            await manager.ingest_many([event, {"flow": "trc-flow", "payload": {}}])

    asyncio.run(scenario())
    triggers = [span for span in recorder.spans() if span.name == "trigger trc-flow"]
    assert [parent(span) for span in triggers] == [None, None]
    assert int(TRACE, 16) in {ids(span)[0] for span in triggers}
    assert len({ids(span)[0] for span in triggers}) == 2


def test_a_batch_is_one_span_linked_to_all_that_waited(recorder: Recorder, tmp_path: Path) -> None:
    async def scenario() -> None:
        journal = SqlJournal(f"sqlite:///{tmp_path}/j.sqlite3", watch=recorder.telemetry)
        await journal.open()
        async with rigged(journal, telemetry=recorder.telemetry) as rig:
            provide_model(rig, recorder.telemetry.model)
            runs = [await rig.accept("trc-flow", {}, trace_id=f"{n:032x}") for n in range(1, 21)]
            await rig.worker("a").lease.take()
            await asyncio.gather(*(rig.worker("a").engine.execute(run) for run in runs))
        await journal.close()

    asyncio.run(scenario())
    commits = [span for span in recorder.spans() if span.name == "journal commit"]
    of_many = [span for span in commits if span.links]
    assert of_many, "twenty runs at once never shared a batch"
    for span in commits:
        places = [ids(span)[0], *(link.context.trace_id for link in span.links)]
        assert set(places) <= set(range(1, 21))
        assert (span.attributes or {})["db.operation.batch.size"] >= len(span.links) + 1


def test_the_share_is_the_same_in_every_process() -> None:
    one, two = Recorder(share=0.5), Recorder(share=0.5)
    for recorder in (one, two):
        for number in range(40):
            trace_id = f"{number * 2**58 + 1:032x}"

            async def scenario(trace_id: str = trace_id, recorder: Recorder = recorder) -> None:
                async with rigged(telemetry=recorder.telemetry) as rig:
                    provide_model(rig, recorder.telemetry.model)
                    await rig.finish("trc-flow", {}, trace_id=trace_id)

            asyncio.run(scenario())
    kept = [{ids(span)[0] for span in recorder.spans()} for recorder in (one, two)]
    assert kept[0] == kept[1]
    assert 0 < len(kept[0]) < 40
    for recorder in (one, two):
        whole = [span.name for span in recorder.spans()]
        assert whole.count("run trc-flow") == whole.count("invoke_agent trc-far") == len(kept[0])


def test_nothing_is_traced_where_no_endpoint_is_set() -> None:
    assert type(tracer_of(Settings())) is Tracer
    assert type(tracer_of(Settings(otlp_endpoint="http://127.0.0.1:9", traces=0))) is Tracer
    made = tracer_of(Settings(otlp_endpoint="http://127.0.0.1:9"))
    assert isinstance(made, OtelTracer)
    made.close()


def test_a_missing_package_costs_the_traces_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("worker.telemetry.tracing.importlib.import_module", absent)
    assert type(tracer_of(Settings(otlp_endpoint="http://127.0.0.1:9"))) is Tracer


def test_span_ids_differ_and_are_valid() -> None:
    made = {
        trigger_span_id("r"),
        claim_span_id("r", 1),
        claim_span_id("r", 2),
        trigger_span_id("s"),
    }
    assert len(made) == 4
    assert all(0 < each < 2**64 for each in made)
