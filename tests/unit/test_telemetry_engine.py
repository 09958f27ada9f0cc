"""What the engine tells its meters, and that every line of a run says whose it is."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from agents import agent
from agents.llm.factory import language_model
from agents.llm.port import LanguageModel, Prompt
from envelope import Envelope
from envelope.errors import Retryable, Terminal
from envelope.ports.journal_rows import RunState
from orchestrators import orchestrator
from tests.rig.engine_rig import Rig, rigged
from tests.unit.test_engine_isolation import _lose_twice, _with_cell
from worker.logs import _COMMON, MusterHandler, _formatter
from worker.redaction import Redactor
from worker.telemetry.prometheus import PrometheusMeters
from worker.telemetry.telemetry import Telemetry


class Want(BaseModel):
    fail: bool = False
    secret: str = ""


class Text(BaseModel):
    text: str


class Later(Retryable):
    code = "TEL_LATER"
    retry_after = 0.0


class Never(Terminal):
    code = "TEL_NEVER"


@agent("tel-inline", inline=True)
async def tel_inline(ctx: Any, request: Want) -> Envelope:
    """The first attempt fails; the second asks a model and speaks through a library."""
    if ctx.attempt == 1:
        raise Later(f"not yet: {request.secret}")
    logging.getLogger("tel.library").warning("a library's line")
    ctx.log.warning("agent.line")
    made = await ctx.resource(LanguageModel).generate(Prompt(instructions="x"), Text)
    ctx.emit("tel.event", note=request.secret)
    return Envelope.from_records([{"text": made.output.text}], source="tel")


@agent("tel-queued")
async def tel_queued(ctx: Any, request: Want) -> Envelope:
    """Fail on demand, on the agent's queue."""
    logging.getLogger("tel.library").warning("a far library's line")
    if request.fail:
        raise Never(f"refused with {request.secret}")
    return Envelope.from_records([{"done": True}], source="tel")


@orchestrator("tel-flow")
async def tel_flow(ctx: Any, request: Want) -> Envelope:
    """One step here, one far."""
    logging.getLogger("tel.library").warning("the flow's library's line")
    await ctx.call("tel-inline", request, key="near")
    return await ctx.call("tel-queued", request, key="far")


def registry_of(rig: Rig) -> tuple[CollectorRegistry, Rig]:
    registry = CollectorRegistry()
    telemetry = Telemetry(PrometheusMeters(registry))
    rig.telemetry.meters = telemetry.meters
    for service in rig.workers.values():
        service.parts.resources.provide(
            LanguageModel,  # type: ignore[type-abstract] # a port is provided under its Protocol
            lambda: language_model(None, None, "m", 1.0, watch=telemetry.model),
        )
    return registry, rig


def figures(registry: CollectorRegistry) -> dict[str, float]:
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created", "_sum"))
    }


async def executed(**payload: Any) -> tuple[dict[str, float], Any, list[Any]]:
    async with rigged() as rig:
        registry, _ = registry_of(rig)
        run = await rig.finish("tel-flow", payload, trace_id="a" * 32)
        events = await rig.events(run.run_id)
        return figures(registry), run, events


def test_a_run_is_counted_from_its_wait_to_its_end() -> None:
    told, run, _ = asyncio.run(executed())
    assert run.state is RunState.SUCCEEDED
    for name, count in {
        "muster_runs_held": 0,
        "muster_runs_ended_total tel-flow succeeded": 1,
        "muster_run_seconds_count tel-flow succeeded": 1,
        "muster_run_wait_seconds_count tel-flow": 1,
        "muster_step_seconds_count tel-inline succeeded": 1,
        "muster_step_seconds_count tel-queued succeeded": 1,
        "muster_step_retries_total tel-inline": 1,
        "muster_step_wait_seconds_count tel-queued": 1,
        "muster_llm_request_seconds_count offline-composer-1 succeeded": 1,
    }.items():
        assert told.get(name) == count, name


def test_a_failure_is_counted_by_its_code() -> None:
    told, run, _ = asyncio.run(executed(fail=True))
    assert run.state is RunState.FAILED
    assert told["muster_runs_ended_total tel-flow failed"] == 1
    assert told["muster_step_failures_total tel-queued TEL_NEVER"] == 1
    assert told["muster_step_seconds_count tel-queued failed"] == 1


def test_a_run_taken_over_is_not_counted_as_new() -> None:
    async def scenario() -> dict[str, float]:
        async with rigged() as rig:
            registry, _ = registry_of(rig)
            run_id = await rig.accept("tel-flow", {})
            await rig.worker("a").lease.take()
            assert await rig.journal.claim(run_id, "a") is not None
            await rig.lose("a")
            await rig.worker("b").reconciler._rescue()
            assert await rig.execute(run_id, "b") is RunState.SUCCEEDED
            return figures(registry)

    told = asyncio.run(scenario())
    assert told["muster_rescues_total run_requeued"] == 1
    assert told["muster_runs_ended_total tel-flow succeeded"] == 1
    assert "muster_run_wait_seconds_count tel-flow" not in told, "its first claim was elsewhere"


def test_a_run_that_died_with_its_workers_has_ended() -> None:
    async def scenario() -> dict[str, float]:
        async with rigged() as rig:
            registry, _ = registry_of(rig)
            run_id = await rig.accept("tel-flow", {})
            _with_cell(rig, "b", dies=True)
            await _lose_twice(rig, run_id)
            assert await rig.execute(run_id, "b") is RunState.DEAD
            return figures(registry)

    told = asyncio.run(scenario())
    assert told["muster_runs_ended_total tel-flow dead"] == 1
    assert told["muster_rescues_total run_dead"] == 1
    assert "muster_run_seconds_count tel-flow dead" not in told, "nobody knows for how long"


class Lines(MusterHandler):
    """Keeps what would be written."""

    def __init__(self, *secrets: str) -> None:
        super().__init__()
        self.setFormatter(_formatter(Redactor(secrets), as_json=True))
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Any:
    handler = Lines("configured-canary")
    logger = logging.getLogger("tel.library")
    # Other tests configure logging for their whole process.
    monkeypatch.setattr(logger, "disabled", False)
    monkeypatch.setattr(logger, "level", logging.DEBUG)
    monkeypatch.setattr(logging.root.manager, "disable", logging.NOTSET)
    logger._cache.clear()
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    structlog.reset_defaults()


def test_lines_of_libraries_say_whose_they_are(lines: Lines) -> None:
    _, run, _ = asyncio.run(executed())
    said = {line["event"]: line for line in lines.lines}
    ids = {"run": run.run_id, "trace_id": "a" * 32}
    flow = said["the flow's library's line"]
    assert {name: flow.get(name) for name in ids} == ids
    here = said["a library's line"]
    assert {name: here.get(name) for name in ids} == ids
    assert (here["step"], here["agent"], here["attempt"]) == ("near", "tel-inline", 2)
    far = said["a far library's line"]
    assert {name: far.get(name) for name in ids} == ids
    assert (far["step"], far["agent"], far["attempt"]) == ("far", "tel-queued", 1)


def test_nothing_clings_to_lines_after_the_run(lines: Lines) -> None:
    async def scenario() -> None:
        async with rigged() as rig:
            registry_of(rig)
            await rig.finish("tel-flow", {})
            logging.getLogger("tel.library").warning("afterwards")

    asyncio.run(scenario())
    assert "run" not in lines.lines[-1]


TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_celery_s_lines_say_which_run_their_message_is_for() -> None:
    handler = Lines()
    run_id = "01a1fede-ae16-7dab-81be-eb4da129b114"
    for arguments in (f"('{run_id}',)", f"['{run_id}', 'write#1']", "('x',)", None, "(" * 10_000):
        data = {"id": "t1", "name": "run.lead", "args": arguments}
        record = logging.LogRecord("celery", logging.INFO, "f", 1, "Task received", (), None)
        record.data = data
        handler.emit(record)
    data = {"id": "t2", "name": "agent.copywriter", "args": f"['{run_id}', 'write#1']"}
    data["kwargs"] = f"{{'trace_id': '{TRACE}'}}"
    record = logging.LogRecord("celery", logging.INFO, "f", 1, "Task received", (), None)
    record.data = data
    handler.emit(record)
    step = handler.lines.pop()
    assert (step["run"], step["step"], step["agent"]) == (run_id, "write#1", "copywriter")
    assert step["trace_id"] == TRACE
    one, two, *others = handler.lines
    assert (one["run"], one["task"], one["task_id"]) == (run_id, "run.lead", "t1")
    assert (two["run"], two["step"]) == (run_id, "write#1")
    assert all("run" not in line for line in others)
    assert _COMMON


SECRETS = ("sk-canarycanarycanary", "postgresql://u:canary-password@h/db", "token=canary-token-1")


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_of_an_error_reaches_journal_or_events(secret: str) -> None:
    _, run, events = asyncio.run(executed(fail=True, secret=secret))
    assert run.state is RunState.FAILED
    told = [run.failure or "", run.trace or "", *(event.data for event in events)]
    assert "TEL_NEVER" in told[0]
    assert not [text for text in told if "canary" in text]


def test_what_is_no_secret_is_left_as_it_is() -> None:
    _, run, events = asyncio.run(executed(fail=True, secret="the customer's name"))
    assert "refused with the customer's name" in (run.failure or "")
    assert any("the customer's name" in event.data for event in events if event.type == "tel.event")
