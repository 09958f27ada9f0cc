"""Durable steps: five in a row, and one to ten to one, beside Celery's canvas and DBOS."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from celery.canvas import Signature

from benchmarks.cpu import with_cpu
from benchmarks.figures import Report, Section, at_least
from benchmarks.peers.celery_worker import PlainCelery
from benchmarks.program import Program
from benchmarks.rounds import Contender, Measured, alternate
from benchmarks.stage import Cluster, Database, Stage

TITLE = "durable steps per second"
_UNIT = "step"
_FIGURE = "steps/s"
_CHAIN, _CHORD, _TASK = "Celery chain", "Celery chord", "Celery task with result"
_NOTES = (
    (
        "Celery has as many worker processes as there are processors, and so have Muster inline "
        "and Muster queued. DBOS is one process, and is compared with Muster inline in one."
    ),
    (
        "Muster and DBOS have each step on disk before the next one begins: SQLite in WAL mode "
        "with synchronous=FULL, Postgres with fsync and synchronous_commit on. Muster inline "
        "holds a cluster-wide permit per step in Redis and keeps events; DBOS does neither."
    ),
    (
        "Celery's chain and chord keep their place in Redis (append-only, flushed every second) "
        "and acknowledge early: a chain whose worker dies is lost, and nothing records its "
        "steps."
    ),
)


@dataclass(frozen=True)
class Size:
    """How much is done in a round."""

    runs: int = 200
    steps: int = 5
    width: int = 10


TINY = Size(runs=3, steps=2, width=3)


@dataclass(frozen=True)
class Parties:
    """Who takes part on one database."""

    kind: Database
    inline: Sequence[Program]
    cluster: Cluster
    dbos: Program | None


async def measure(stage: Stage, size: Size | None = None) -> Report:
    """Measure inline and queued steps on every database."""
    size = size or Size()
    processes = os.cpu_count() or 1
    async with AsyncExitStack() as stack:
        celery = await stack.enter_async_context(stage.celery("prefork", processes))
        parties = [
            Parties(
                kind,
                await stack.enter_async_context(stage.inlines(kind, processes)),
                await stack.enter_async_context(stage.cluster(kind, workers=processes)),
                await stack.enter_async_context(stage.dbos(kind)),
            )
            for kind in stage.databases
        ]
        sections = [
            await _in_row(stage, celery, parties, size),
            await _fanned(stage, celery, parties, size),
        ]
    return Report("steps", TITLE, sections, list(_NOTES))


async def _in_row(
    stage: Stage, celery: PlainCelery, parties: Sequence[Parties], size: Size
) -> Section:
    total = size.runs * size.steps
    contenders = [
        _celery(_CHAIN, celery, lambda: celery.chain(size.steps), size.runs, total),
        _celery(_TASK, celery, lambda: celery.task("noop", 0), total, total),
    ]
    for party in parties:
        contenders += _ours(party, "bench_chain", size.steps, size.runs, total)
        contenders += _dbos(party, "chain", {"steps": size.steps, "count": size.runs}, total)
    title = f"{size.runs} runs of {size.steps} steps, one after the other"
    section = await alternate(title, contenders, stage.rounds)
    for kind in stage.databases:
        section.compare(_inline(kind), (_CHAIN, _FIGURE), at_least(8))
        section.compare(_alone(kind), (f"DBOS, {kind}", _FIGURE), at_least(5))
        section.compare(_queued(kind), (_TASK, _FIGURE), at_least(0.8))
    return section


async def _fanned(
    stage: Stage, celery: PlainCelery, parties: Sequence[Parties], size: Size
) -> Section:
    total = size.runs * (size.width + 2)
    contenders = [_celery(_CHORD, celery, lambda: celery.fan(size.width), size.runs, total)]
    for party in parties:
        contenders += _ours(party, "bench_fan", size.width, size.runs, total)
        contenders += _dbos(party, "fan", {"width": size.width, "count": size.runs}, total)
    title = f"{size.runs} runs of 1, then {size.width}, then 1 steps"
    section = await alternate(title, contenders, stage.rounds)
    for kind in stage.databases:
        section.compare(_inline(kind), (_CHORD, _FIGURE), at_least(8))
        section.compare(_alone(kind), (f"DBOS, {kind}", _FIGURE))
        section.compare(_queued(kind), (_CHORD, _FIGURE))
    return section


def _ours(party: Parties, flow: str, steps: int, runs: int, total: int) -> list[Contender]:
    payload = {"steps": steps}

    async def here() -> Measured:
        seconds = await party.inline[0].ask("runs", flow=flow, payload=payload, count=runs)
        return {_FIGURE: total / seconds}

    async def side_by_side() -> Measured:
        share, more = divmod(runs, len(party.inline))
        asked = [
            program.ask("runs", flow=flow, payload=payload, count=share + (number < more))
            for number, program in enumerate(party.inline)
        ]
        return await _timed(total, lambda: asyncio.gather(*asked))

    async def queued() -> Measured:
        return await _timed(total, lambda: _through_queue(party.cluster, flow, steps, runs))

    pids = [program.pid for program in party.inline]
    alone = Contender(_alone(party.kind)[0], here)
    inline = Contender(_inline(party.kind)[0], side_by_side)
    worker = Contender(_queued(party.kind)[0], queued)
    return [
        with_cpu(alone, pids[:1], total, _UNIT),
        with_cpu(inline, pids, total, _UNIT),
        with_cpu(worker, party.cluster.pids, total, _UNIT),
    ]


def _dbos(party: Parties, do: str, work: dict[str, int], total: int) -> list[Contender]:
    program = party.dbos
    if program is None:
        return []

    async def measured() -> Measured:
        return {_FIGURE: total / await program.ask(do, **work)}

    return [with_cpu(Contender(f"DBOS, {party.kind}", measured), [program.pid], total, _UNIT)]


def _celery(
    name: str, celery: PlainCelery, call: Callable[[], Signature[Any]], count: int, total: int
) -> Contender:
    async def measured() -> Measured:
        calls = [call() for _ in range(count)]
        return await _timed(total, lambda: celery.results(calls))

    return with_cpu(Contender(name, measured), [celery.pid], total, _UNIT)


def _alone(kind: Database) -> tuple[str, str]:
    return f"Muster inline in one process, {kind}", _FIGURE


def _inline(kind: Database) -> tuple[str, str]:
    return f"Muster inline, {kind}", _FIGURE


def _queued(kind: Database) -> tuple[str, str]:
    return f"Muster queued, {kind}", _FIGURE


async def _through_queue(cluster: Cluster, flow: str, steps: int, runs: int) -> None:
    event = {"flow": flow, "payload": {"steps": steps, "inline": False}}
    handles = await cluster.manager.ingest_many([event] * runs)
    await asyncio.gather(*(handle.result(timeout=300) for handle in handles))


async def _timed(steps: int, work: Callable[[], Awaitable[object]]) -> Measured:
    begun = time.perf_counter()
    await work()
    return {_FIGURE: steps / (time.perf_counter() - begun)}
