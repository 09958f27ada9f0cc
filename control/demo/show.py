"""The demo from its start to its end, as one flat pipeline."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from control.async_client import AsyncMuster
from control.demo.campaign import (
    Campaign,
    accept,
    all_runs,
    follow,
    last_campaign,
    new_campaign,
)
from control.demo.knowledge import ingest, read_knowledge
from control.demo.progress import ProgressView
from control.demo.results import (
    Result,
    Sample,
    draft_of,
    print_failures,
    print_next,
    print_sample,
    print_table,
    print_totals,
)
from control.demo.settings import command_prefix
from control.demo.totals import Totals
from control.demo.work import STEPS, read_work
from control.interrupt import cancelled_by
from control.lineage import Lineage
from control.worker_process import WorkerDied, WorkerProcess, environment_of
from envelope.ports.journal_rows import Run, RunState
from worker.settings import Settings


class Choice(StrEnum):
    """What to do about a campaign that is there already."""

    ASK = "ask"
    NEW = "new"
    CONTINUE = "continue"


class Ended(StrEnum):
    """How the demo ended."""

    ALL_SUCCEEDED = "all_succeeded"
    SOME_FAILED = "some_failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the user asked for.

    Attributes:
        leads: CSV of companies; None for the sample.
        knowledge: Folder or file of documents; None for the project's own.
        limit: Most leads; None for all.
        choice: What to do about an unfinished campaign.
        ask: Asks the user whether to continue it; None where nobody can be asked.
    """

    leads: Path | None = None
    knowledge: Path | None = None
    limit: int | None = None
    choice: Choice = Choice.ASK
    ask: Callable[[Campaign], bool] | None = None


async def show_demo(options: DemoOptions, settings: Settings, console: Console) -> Ended:
    """Run the campaign and print what came of it.

    Raises:
        MusterError: The input is wrong, or a part does not start; the message says which.
    """
    payloads = read_work(options.leads, options.limit)
    documents = read_knowledge(options.knowledge)
    _greet(console, settings, len(payloads))
    with cancelled_by(signal.SIGINT, signal.SIGTERM) as interrupted:
        try:
            async with AsyncMuster(settings) as client:
                report = await asyncio.to_thread(ingest, settings, documents)
                console.print(
                    f"[dim]knowledge[/]  {len(documents)} documents, {report.passages} passages"
                )
                campaign = await _choose(client, options, payloads)
                await _work(client, settings, campaign, console)
                return await _report(client, settings, campaign, console)
        except asyncio.CancelledError:
            if not interrupted:
                raise
    _print_interrupted(console, command_prefix(settings))
    return Ended.INTERRUPTED


async def _choose(
    client: AsyncMuster, options: DemoOptions, payloads: Sequence[Mapping[str, Any]]
) -> Campaign:
    """An unfinished campaign goes on unless the user says otherwise; a finished one is repeated."""
    if options.choice is Choice.NEW:
        return new_campaign(payloads)
    last = await last_campaign(client, payloads)
    if last is None:
        return new_campaign(payloads)
    if options.choice is Choice.CONTINUE:
        return last
    if not last.unfinished:
        return new_campaign(payloads)
    wanted = options.ask is None or await asyncio.to_thread(options.ask, last)
    return last if wanted else new_campaign(payloads)


async def _work(
    client: AsyncMuster, settings: Settings, campaign: Campaign, console: Console
) -> None:
    begun = f", {campaign.ended} of {campaign.total} runs done before" if campaign.accepted else ""
    console.print(f"[dim]campaign[/]   {campaign.name}{begun}\n")
    view = ProgressView(console, STEPS, campaign.total)
    async with _worker(client, settings) as worker:
        await accept(client, campaign)
        try:
            with view.shown():
                await follow(client, campaign, STEPS, worker, view.update)
        except WorkerDied as error:
            onward = f"{command_prefix(settings)}muster demo --continue"
            raise WorkerDied(f"{error}\nNothing is lost; this goes on: {onward}") from error


@asynccontextmanager
async def _worker(client: AsyncMuster, settings: Settings) -> AsyncIterator[WorkerProcess]:
    backend = (await client.manager()).backend
    redis = backend.redis.url if backend.redis is not None else None
    told = settings.model_copy(update={"redis_url": redis, "database_url": settings.journal_url})
    worker = WorkerProcess(
        environment_of(told, os.environ),
        folder=settings.home,  # no `.env` is there, and no package that is named like ours
        log=settings.home / "logs" / "worker.log",
    )
    try:
        await worker.start("--loglevel", "INFO")
        await worker.until_ready(backend.journal)
        yield worker
    finally:
        await worker.stop()


async def _report(
    client: AsyncMuster, settings: Settings, campaign: Campaign, console: Console
) -> Ended:
    runs = await all_runs(client, campaign)
    journal = (await client.manager()).backend.journal
    results = [
        Result(run=run, lead=lead, subject=_subject(run))
        for run, lead in zip(runs, campaign.payloads, strict=True)
    ]
    console.print()
    print_table(console, results)
    succeeded = [run for run in runs if run.state is RunState.SUCCEEDED]
    shown = (succeeded or runs)[0]
    sample = Sample.of(shown, await journal.steps(shown.run_id))
    if sample is not None:
        print_sample(console, sample)
    totals = Totals.of(runs)
    print_totals(console, totals)
    print_failures(console, runs, totals)
    print_next(console, command_prefix(settings), shown, sample.draft.id if sample else None)
    return Ended.ALL_SUCCEEDED if len(succeeded) == len(runs) else Ended.SOME_FAILED


def _subject(run: Run) -> str:
    draft = draft_of(Lineage.of(run, ()))
    return str(draft.data["subject"]) if draft is not None else ""


def _greet(console: Console, settings: Settings, leads: int) -> None:
    console.print("[bold]Muster demo[/]: one durable run per company, on embedded parts")
    console.print(f"[dim]home[/]       {escape(str(settings.home))}")
    console.print(f"[dim]leads[/]      {leads} companies")


def _print_interrupted(console: Console, prefix: str) -> None:
    console.print(
        "\n[yellow]Stopped.[/] The worker gave its runs back; everything committed is kept."
    )
    console.print(f"  {escape(prefix)}[bold]muster demo --continue[/]  [dim]goes on from here[/]")
    console.print(f"  {escape(prefix)}[bold]muster demo --new[/]       [dim]starts anew[/]")
