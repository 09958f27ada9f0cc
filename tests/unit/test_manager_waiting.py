"""Without a queue, a run that waits for somebody does not keep its caller waiting."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from control import CampaignManager, RunFailed
from control.async_manager import AsyncCampaignManager
from envelope import Envelope
from envelope.approval import ApprovalRequest
from envelope.ports.journal_rows import RunFilter, RunState
from orchestrators import orchestrator
from tests.rig.flows import Words

PATIENCE = 20.0


@orchestrator("mw-signal")
async def mw_signal(ctx: Any, request: Words) -> Envelope:
    answer = await ctx.wait_for("answer", timeout=3600)
    return Envelope.from_records([{"answer": answer}], source="mw")


@orchestrator("mw-approval")
async def mw_approval(ctx: Any, request: Words) -> Envelope:
    given = await ctx.approve(ApprovalRequest(channel="email", content=request.text))
    return Envelope.from_records([{"by": given.by}], source="mw")


@orchestrator("mw-parent")
async def mw_parent(ctx: Any, request: Words) -> Envelope:
    return await ctx.child(request.text, {"text": "x"}, key="child")


@orchestrator("mw-sleeper")
async def mw_sleeper(ctx: Any, request: Words) -> Envelope:
    for _ in range(3):
        await ctx.sleep(0.15)
    return Envelope.from_records([{"rested": True}], source="mw")


async def long() -> bool:
    await asyncio.sleep(0.3)
    return True


@orchestrator("mw-long")
async def mw_long(ctx: Any, request: Words) -> Envelope:
    return Envelope.from_records([{"made": await ctx.once(long)}], source="mw")


@orchestrator("mw-worker")
async def mw_worker(ctx: Any, request: Words) -> Envelope:
    made, _ = await ctx.gather(ctx.once(long), ctx.wait_for("early"))
    return Envelope.from_records([{"made": made}], source="mw")


@orchestrator("mw-breaks")
async def mw_breaks(ctx: Any, request: Words) -> Envelope:
    await ctx.wait_for("answer")
    raise ValueError("no")


def event(flow: str, text: str = "x") -> dict[str, Any]:
    return {"flow": flow, "payload": {"text": text}}


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten looks take a tenth of a second, so that what works or sleeps does so for longer."""
    monkeypatch.setattr("control.standstill._LOOK_SECONDS", 0.01)


pytestmark = pytest.mark.timeout(60)


def test_the_caller_of_a_run_that_waits_for_a_signal_sends_it() -> None:
    with CampaignManager() as manager, capture_logs() as logs:
        run = manager.ingest_event(event("mw-signal"))
        assert run.status() is RunState.RUNNING
        assert [log["run"] for log in logs if log["event"] == "run.goes_on"] == [run.id]
        run.signal("answer", 42)
        assert run.result(PATIENCE).records[0].data == {"answer": 42}


@pytest.mark.usefixtures("hasty")
def test_the_caller_of_a_run_that_waits_for_approval_decides() -> None:
    with CampaignManager() as manager:
        run = manager.ingest_event(event("mw-approval"))
        (asked,) = manager.approvals.list(state="pending")
        manager.approvals.approve(asked.approval_id, by="ada")
        assert run.result(PATIENCE).records[0].data == {"by": "ada"}


@pytest.mark.usefixtures("hasty")
def test_a_run_whose_child_waits_is_left_as_well() -> None:
    async def scenario() -> None:
        async with await AsyncCampaignManager.in_process() as manager:
            async with asyncio.timeout(PATIENCE):
                run = await manager.ingest_event(event("mw-parent", "mw-signal"))
            (child,) = [
                row.run_id
                for row in await manager.backend.journal.runs(RunFilter(parent_id=run.id))
            ]
            await manager.handle(child).signal("answer", "yes")
            assert (await run.result(PATIENCE)).records[0].data == {"answer": "yes"}

    asyncio.run(scenario())


@pytest.mark.usefixtures("hasty")
def test_a_run_that_sleeps_has_ended_when_its_event_is_ingested() -> None:
    with CampaignManager() as manager:
        assert manager.ingest_event(event("mw-sleeper")).status() is RunState.SUCCEEDED


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("child", ["mw-sleeper", "mw-long"])
def test_a_run_whose_child_goes_on_has_ended_when_its_event_is_ingested(child: str) -> None:
    with CampaignManager() as manager:
        run = manager.ingest_event(event("mw-parent", child))
        assert run.status() is RunState.SUCCEEDED


@pytest.mark.usefixtures("hasty")
def test_a_run_that_works_beside_its_wait_is_not_left_before_the_work_is_done() -> None:
    with CampaignManager() as manager:
        run = manager.ingest_event(event("mw-worker"))
        assert [step.kind for step in run.steps()] == ["once"]
        run.signal("early")
        assert run.result(PATIENCE).records[0].data == {"made": True}


@pytest.mark.usefixtures("hasty")
def test_of_many_events_those_that_can_end_have_ended() -> None:
    with CampaignManager() as manager:
        waiting, ended = manager.ingest_many([event("mw-signal"), event("mw-sleeper")])
        assert (waiting.status(), ended.status()) == (RunState.RUNNING, RunState.SUCCEEDED)
        assert waiting.cancel("enough") is not RunState.SUCCEEDED


@pytest.mark.usefixtures("hasty")
def test_a_run_that_fails_in_the_background_says_so_at_its_result() -> None:
    with CampaignManager() as manager:
        run = manager.ingest_event(event("mw-breaks"))
        run.signal("answer")
        with pytest.raises(RunFailed, match="no"):
            run.result(PATIENCE)


@pytest.mark.usefixtures("hasty")
def test_a_manager_is_closed_while_runs_wait() -> None:
    with CampaignManager() as manager:
        manager.ingest_event(event("mw-signal"))


def test_an_interrupted_caller_gives_the_run_back() -> None:
    async def scenario() -> None:
        async with await AsyncCampaignManager.in_process() as manager:
            ingesting = asyncio.create_task(manager.ingest_event(event("mw-signal")))
            journal = manager.backend.journal
            async with asyncio.timeout(PATIENCE):
                while not (
                    rows := await journal.runs(RunFilter(states=frozenset({RunState.RUNNING})))
                ):
                    await asyncio.sleep(0.001)
            ingesting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await ingesting
            row = await journal.run(rows[0].run_id)
            assert row is not None
            assert row.state is RunState.QUEUED

    asyncio.run(scenario())
