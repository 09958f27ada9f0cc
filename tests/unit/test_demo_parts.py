"""The parts of the demo: campaigns that are found again, progress, totals, results."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from agents import agent
from control.async_client import AsyncMuster
from control.async_manager import AsyncCampaignManager
from control.demo.campaign import Campaign, accept, all_runs, follow, last_campaign, new_campaign
from control.demo.progress import ProgressView, Stand
from control.demo.results import draft_of, print_totals
from control.demo.totals import Totals
from control.demo.work import STEPS, read_work
from control.lineage import Known, Lineage
from control.worker_process import WorkerProcess
from envelope import Envelope, Record, Usage
from envelope.ports.journal_rows import RunState
from orchestrators.registry import FLOWS
from tests.rig.flows import Words
from worker.backend import Backend
from worker.loading import load_modules
from worker.queue.in_process import InProcessQueue


@agent("demo-parts", inline=True)
async def parts(ctx: Any, request: Words) -> Envelope:
    return Envelope.from_records([{"text": request.text}], source="parts")


@pytest.fixture(autouse=True, scope="module")
def shipped() -> None:
    load_modules(())
    assert "lead" in FLOWS


@asynccontextmanager
async def client() -> AsyncIterator[AsyncMuster]:
    async def ignore(_: object) -> None:
        pass

    backend = replace(await Backend.in_process(), queue=InProcessQueue(ignore))
    async with AsyncMuster(manager=AsyncCampaignManager(backend)) as muster:
        yield muster


def test_the_sample_has_companies_and_a_limit_takes_the_first() -> None:
    every = read_work(None, None)
    assert len(every) >= 10
    assert read_work(None, 3) == every[:3]


def test_the_same_work_is_the_same_campaign_continued() -> None:
    async def scenario() -> None:
        work = read_work(None, 4)
        async with client() as muster:
            assert await last_campaign(muster, work) is None
            first = new_campaign(work)
            assert await accept(muster, first) == 4
            assert await accept(muster, first) == 0
            found = await last_campaign(muster, work)
            assert found is not None
            assert (found.name, found.accepted, found.ended) == (first.name, 4, 0)
            assert found.unfinished
            assert await last_campaign(muster, read_work(None, 5)) is None
            runs = await all_runs(muster, found)
            assert [run.thread for run in runs] == [lead["symbol"] for lead in work]

    asyncio.run(scenario())


def test_a_campaign_whose_acceptance_was_cut_short_is_completed() -> None:
    async def scenario() -> None:
        work = read_work(None, 6)
        async with client() as muster:
            whole = new_campaign(work)
            half = Campaign(name=whole.name, work=whole.work, payloads=work[:3])
            assert await accept(muster, half) == 3
            found = await last_campaign(muster, work)
            assert found is not None
            assert found.unfinished
            assert await accept(muster, found) == 3

    asyncio.run(scenario())


def test_a_stand_counts_what_succeeded_failed_and_is_under_way() -> None:
    async def scenario() -> None:
        async with client() as muster:
            campaign = new_campaign(read_work(None, 3))
            await accept(muster, campaign)
            for run in await all_runs(muster, campaign):
                await (await muster.get(run.run_id)).cancel()
            stands: list[Stand] = []
            worker = WorkerProcess({})
            await follow(muster, campaign, STEPS, worker, stands.append)
            assert stands == [
                Stand(total=3, ended=3, failed=3, steps={"research": 0, "draft": 0, "store": 0})
            ]
            totals = Totals.of(await all_runs(muster, campaign))
            assert totals.states == {"cancelled": 3}
            assert totals.runs == 3

    asyncio.run(scenario())


def test_progress_on_no_terminal_is_a_line_for_each_change() -> None:
    out = io.StringIO()
    view = ProgressView(Console(file=out, width=200), ["a"], 2)
    with view.shown():
        for ended in (0, 0, 2, 2):
            view.update(Stand(total=2, ended=ended, failed=ended // 2, steps={"a": ended}))
    assert out.getvalue().splitlines() == ["runs 0/2  a 0", "runs 2/2  failed 1  a 2"]


def test_progress_on_a_terminal_is_bars() -> None:
    out = io.StringIO()
    view = ProgressView(Console(file=out, width=100, force_terminal=True), ["a"], 2)
    with view.shown():
        view.update(Stand(total=2, ended=2, steps={"a": 2}))
    assert "2/2" in out.getvalue()


def test_totals_add_up_runs_steps_usage_and_models() -> None:
    async def scenario() -> None:
        manager = await AsyncCampaignManager.in_process()
        async with manager:
            run = await manager.ingest_event({"flow": "one", "payload": {"text": "demo-parts"}})
            row = await run.row()
            assert row.state is RunState.SUCCEEDED
            totals = Totals.of([row, row])
            assert (totals.runs, totals.steps) == (2, 2)
            assert totals.usage == Usage()
            assert Totals.of([]).runs_per_second == 0.0
            out = io.StringIO()
            print_totals(Console(file=out, width=200), totals)
            assert "2: 2 succeeded" in out.getvalue()

    asyncio.run(scenario())


def test_the_draft_is_the_record_that_is_an_e_mail() -> None:
    mail = Record.of({"subject": "s", "body": "b", "company": "c"}, source="copywriter")
    other = Record.of({"subject": "s"}, source="x")
    assert draft_of(Lineage([Known(other, None), Known(mail, None)])) == mail
    assert draft_of(Lineage([Known(other, None)])) is None
