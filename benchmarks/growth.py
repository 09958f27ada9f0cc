"""The same work in a small journal, in one with many finished runs, and beside many that wait."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.figures import Report, Section, at_most
from benchmarks.filling import multiply_run
from benchmarks.program import Program
from benchmarks.rounds import Contender, Measured, alternate
from benchmarks.stage import Database, Stage
from envelope.events import EventType
from worker.settings import Settings

TITLE = "the same work in a small and in a large journal"
_SECONDS = "s"
_SMALL = "few finished runs"
_NOTES = (
    "Runs that are there before are copies, with all rows, of one that finished or waits.",
    "A waiting run waits for a signal that never comes.",
)


@dataclass(frozen=True)
class Size:
    """What the journals hold, and how much is done in a round.

    Attributes:
        few: Finished runs in the small journal.
        finished: Finished runs in the large one.
        waiting: Runs that wait for a signal.
    """

    few: int = 100
    finished: int = 100_000
    waiting: int = 10_000
    runs: int = 200
    steps: int = 5


TINY = Size(few=3, finished=30, waiting=5, runs=3, steps=2)


async def measure(stage: Stage, size: Size | None = None) -> Report:
    """Measure on every database."""
    size = size or Size()
    sections = [await _grown(stage, kind, size) for kind in stage.databases]
    return Report("growth", TITLE, sections, list(_NOTES))


async def _grown(stage: Stage, kind: Database, size: Size) -> Section:
    finished, waiting = f"{size.finished:,} finished runs", f"{size.waiting:,} waiting runs"
    names = (_SMALL, finished, waiting)
    async with AsyncExitStack() as stack:
        journals = {name: stack.enter_context(stage.settings(kind)) for name in names}
        await _fill(stage, journals[_SMALL], "bench_chain", size.few)
        await _fill(stage, journals[finished], "bench_chain", size.finished)
        await _fill(stage, journals[waiting], "bench_never", size.waiting)
        contenders = []
        for name, settings in journals.items():
            program = await stack.enter_async_context(stage.inline_over(settings))
            contenders.append(_contender(name, program, size))
        title = f"{size.runs} runs of {size.steps} steps, inline, {kind}"
        section = await alternate(title, contenders, stage.rounds)
    section.compare((finished, _SECONDS), (_SMALL, _SECONDS), at_most(1.1))
    section.compare((waiting, _SECONDS), (_SMALL, _SECONDS), at_most(1.1))
    return section


async def _fill(stage: Stage, settings: Settings, flow: str, count: int) -> None:
    """Leave so many runs in the journal, and no worker."""
    async with stage.cluster_over(settings) as cluster:
        run = await cluster.manager.ingest_event({"flow": flow, "payload": {"steps": 1}})
        async for event in run.events():
            if event.type == EventType.RUN_WAITING:
                break
    await asyncio.to_thread(multiply_run, settings.journal_url, count)


def _contender(name: str, program: Program, size: Size) -> Contender:
    async def measured() -> Measured:
        payload = {"steps": size.steps}
        taken = await program.ask("runs", flow="bench_chain", payload=payload, count=size.runs)
        return {_SECONDS: taken}

    return Contender(name, measured)
