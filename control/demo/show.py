"""The demo from its start to its end, as one flat pipeline."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
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
from control.demo.delivering import Desk, deliver
from control.demo.knowledge import ingest, read_knowledge
from control.demo.letter import check_symbol, letter_of
from control.demo.mail_sink import MailSink
from control.demo.options import Choice, Deliver, DemoOptions, Ended
from control.demo.progress import ProgressView
from control.demo.results import (
    Result,
    Sample,
    draft_of,
    next_commands,
    print_commands,
    print_failures,
    print_next,
    print_sample,
    print_table,
    print_totals,
)
from control.demo.settings import command_prefix, delivery_settings
from control.demo.totals import Totals
from control.demo.work import STEPS, read_work
from control.interrupt import cancelled_by
from control.lineage import Lineage
from control.worker_process import WorkerDied, WorkerProcess, environment_of
from envelope.ports.journal_rows import Run, RunState
from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class Stage:
    """All that a demo plays with."""

    client: AsyncMuster
    settings: Settings
    options: DemoOptions
    campaign: Campaign
    console: Console

    @property
    def prefix(self) -> str:
        """What stands before `muster` in commands that are printed."""
        return command_prefix(self.settings)

    @property
    def onward(self) -> str:
        """The command that goes on where this was stopped."""
        deliver = self.options.deliver
        return self.options.delivery_command if deliver else "muster demo --continue"


async def show_demo(options: DemoOptions, settings: Settings, console: Console) -> Ended:
    """Run the campaign and print what came of it.

    Raises:
        MusterError: The input is wrong, or a part does not start; the message says which.
    """
    payloads = read_work(options.leads, options.limit)
    if options.deliver is not None:
        check_symbol(payloads, options.deliver.symbol)
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
                stage = Stage(client, settings, options, campaign, console)
                if options.deliver is not None:
                    return await _with_delivery(stage, options.deliver)
                return await _without_delivery(stage)
        except asyncio.CancelledError:
            if not interrupted:
                raise
    _print_interrupted(console, settings, options)
    return Ended.INTERRUPTED


async def _choose(
    client: AsyncMuster, options: DemoOptions, payloads: Sequence[Mapping[str, Any]]
) -> Campaign:
    """An unfinished campaign goes on unless the user says otherwise.

    A finished one is repeated, or its drafts are there to be delivered.
    """
    if options.choice is Choice.NEW:
        return new_campaign(payloads)
    last = await last_campaign(client, payloads)
    if last is None:
        return new_campaign(payloads)
    if options.choice is Choice.CONTINUE:
        return last
    if not last.unfinished:
        return last if options.deliver is not None else new_campaign(payloads)
    wanted = options.ask is None or await options.ask(_unfinished(last), True)
    return new_campaign(payloads) if wanted is False else last


def _unfinished(last: Campaign) -> str:
    return (
        f"Campaign {last.name} is unfinished: {last.ended} of {last.total} runs are done. "
        "Continue it?"
    )


async def _without_delivery(stage: Stage) -> Ended:
    async with _worker(stage, stage.settings) as worker:
        await _work(stage, worker)
    results = await _results(stage)
    shown = next((result.run for result in results if _succeeded(result)), results[0].run)
    journal = (await stage.client.manager()).backend.journal
    sample = Sample.of(shown, await journal.steps(shown.run_id))
    _print_results(stage.console, results, sample)
    commands = next_commands(shown, sample.draft.id if sample else None)
    print_next(stage.console, stage.prefix, commands)
    return _ended(results)


async def _with_delivery(stage: Stage, wanted: Deliver) -> Ended:
    async with MailSink() as sink:
        settings = delivery_settings(stage.settings, sink.port)
        async with _worker(stage, settings) as worker:
            await _work(stage, worker)
            results = await _results(stage)
            _print_results(stage.console, results)
            letter = letter_of(results, wanted.symbol)
            if letter is None:
                stage.console.print("\n[yellow]There is no draft to deliver.[/]")
                return Ended.SOME_FAILED
            desk = Desk(
                client=stage.client,
                worker=worker,
                sink=sink,
                console=stage.console,
                prefix=stage.prefix,
                options=stage.options,
                deliver=wanted,
            )
            return _ended(results) if await deliver(desk, letter) else Ended.SOME_FAILED


async def _work(stage: Stage, worker: WorkerProcess) -> None:
    campaign, console = stage.campaign, stage.console
    begun = f", {campaign.ended} of {campaign.total} runs done before" if campaign.accepted else ""
    console.print(f"[dim]campaign[/]   {campaign.name}{begun}\n")
    view = ProgressView(console, STEPS, campaign.total)
    await accept(stage.client, campaign)
    with view.shown():
        await follow(stage.client, campaign, STEPS, worker, view.update)


@asynccontextmanager
async def _worker(stage: Stage, settings: Settings) -> AsyncIterator[WorkerProcess]:
    backend = (await stage.client.manager()).backend
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
        try:
            yield worker
        except WorkerDied as error:
            onward = f"{stage.prefix}{stage.onward}"
            raise WorkerDied(f"{error}\nNothing is lost; this goes on: {onward}") from error
    finally:
        await worker.stop()


async def _results(stage: Stage) -> Sequence[Result]:
    runs = await all_runs(stage.client, stage.campaign)
    return [
        Result(run=run, lead=lead, subject=_subject(run))
        for run, lead in zip(runs, stage.campaign.payloads, strict=True)
    ]


def _print_results(
    console: Console, results: Sequence[Result], sample: Sample | None = None
) -> None:
    runs = [result.run for result in results]
    totals = Totals.of(runs)
    console.print()
    print_table(console, results)
    if sample is not None:
        print_sample(console, sample)
    print_totals(console, totals)
    print_failures(console, runs, totals)


def _succeeded(result: Result) -> bool:
    return result.run.state is RunState.SUCCEEDED


def _ended(results: Sequence[Result]) -> Ended:
    return Ended.ALL_SUCCEEDED if all(map(_succeeded, results)) else Ended.SOME_FAILED


def _subject(run: Run) -> str:
    draft = draft_of(Lineage.of(run, ()))
    return str(draft.data["subject"]) if draft is not None else ""


def _greet(console: Console, settings: Settings, leads: int) -> None:
    console.print("[bold]Muster demo[/]: one durable run per company, on embedded parts")
    console.print(f"[dim]home[/]       {escape(str(settings.home))}")
    console.print(f"[dim]leads[/]      {leads} companies")


def _print_interrupted(console: Console, settings: Settings, options: DemoOptions) -> None:
    onward = (
        {options.delivery_command: "goes on from here"}
        if options.deliver is not None
        else {"muster demo --continue": "goes on from here", "muster demo --new": "starts anew"}
    )
    console.print(
        "\n[yellow]Stopped.[/] The worker gave its runs back; everything committed is kept."
    )
    print_commands(console, command_prefix(settings), onward)
