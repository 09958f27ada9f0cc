"""One-step runs: how many per second, and how soon each is seen to begin and to have ended."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from benchmarks.cpu import with_cpu
from benchmarks.figures import Report, at_least, at_most, percentile
from benchmarks.peers.celery_worker import PlainCelery
from benchmarks.rounds import Contender, Measured, alternate
from benchmarks.stage import Cluster, Database, Stage

TITLE = "one-step runs through the queue, beside a plain Celery task with result"
_CELERY = "Celery task with result"
_RATE = "runs/s"
_FIRST, _RESULT = "first event p50, ms", "result p50, ms"
_EVENT = {"flow": "bench_chain", "payload": {"steps": 1}}
_QUEUED = 1
"""The number of the event `run.queued`, which the client itself commits."""

_NOTES = (
    (
        "Every run of Muster is committed before it is sent, its step and its end are committed "
        "after; its result can be read for as long as the journal is kept. Celery's task is "
        "acknowledged early and its result is a Redis key that expires."
    ),
    (
        "The first event is the first one of the worker, `run.started`, as a client sees it "
        "that follows the run's events."
    ),
)


@dataclass(frozen=True)
class Size:
    """How much is done in a round: runs at once, and runs one after the other."""

    runs: int = 1000
    alone: int = 50


TINY = Size(runs=3, alone=2)


async def measure(stage: Stage, size: Size | None = None) -> Report:
    """Measure throughput, then latency."""
    size = size or Size()
    report = Report("throughput", TITLE, notes=list(_NOTES))
    processes = os.cpu_count() or 1
    async with AsyncExitStack() as stack:
        celery = await stack.enter_async_context(stage.celery("prefork", processes))
        clusters = {
            kind: await stack.enter_async_context(stage.cluster(kind, workers=processes))
            for kind in stage.databases
        }
        many = await alternate(
            f"{size.runs} at once", _many(celery, clusters, size.runs), stage.rounds
        )
        alone = await alternate(
            f"{size.alone}, one after the other", _alone(celery, clusters, size.alone), stage.rounds
        )
    for kind in stage.databases:
        many.compare((_muster(kind), _RATE), (_CELERY, _RATE), at_least(0.8))
        alone.compare((_muster(kind), _FIRST), (_CELERY, _RESULT), at_most(2))
        alone.compare((_muster(kind), _RESULT), (_CELERY, _RESULT))
    report.sections += [many, alone]
    return report


def _many(celery: PlainCelery, clusters: dict[Database, Cluster], count: int) -> list[Contender]:
    async def theirs() -> Measured:
        begun = time.perf_counter()
        await celery.results([celery.task("noop", 0) for _ in range(count)])
        return {_RATE: count / (time.perf_counter() - begun)}

    def ours(kind: Database) -> Contender:
        contender = Contender(_muster(kind), lambda: _runs_at_once(clusters[kind], count))
        return with_cpu(contender, clusters[kind].pids, count, "run")

    peer = with_cpu(Contender(_CELERY, theirs), [celery.pid], count, "run")
    return [peer, *map(ours, clusters)]


def _alone(celery: PlainCelery, clusters: dict[Database, Cluster], count: int) -> list[Contender]:
    async def theirs() -> Measured:
        taken = []
        for _ in range(count):
            begun = time.perf_counter()
            await celery.results([celery.task("noop", 0)])
            taken.append(time.perf_counter() - begun)
        return {
            _RESULT: percentile(taken, 0.5) * 1e3,
            "result p95, ms": percentile(taken, 0.95) * 1e3,
        }

    def ours(kind: Database) -> Contender:
        return Contender(_muster(kind), lambda: _one_by_one(clusters[kind], count))

    return [Contender(_CELERY, theirs), *map(ours, clusters)]


async def _runs_at_once(cluster: Cluster, count: int) -> Measured:
    begun = time.perf_counter()
    handles = await cluster.manager.ingest_many([_EVENT] * count)
    await asyncio.gather(*(handle.result(timeout=300) for handle in handles))
    return {_RATE: count / (time.perf_counter() - begun)}


async def _one_by_one(cluster: Cluster, count: int) -> Measured:
    firsts, results = [], []
    for _ in range(count):
        first, result = await _one(cluster)
        firsts.append(first)
        results.append(result)
    return {
        _FIRST: percentile(firsts, 0.5) * 1e3,
        _RESULT: percentile(results, 0.5) * 1e3,
        "result p95, ms": percentile(results, 0.95) * 1e3,
    }


async def _one(cluster: Cluster) -> tuple[float, float]:
    """Seconds from enqueue to the worker's first event, and to the result in the caller's hand."""
    begun = time.perf_counter()
    run = await cluster.manager.ingest_event(_EVENT)
    first = 0.0
    async for _ in run.events(after=_QUEUED):
        first = first or time.perf_counter() - begun
    await run.result(timeout=60)
    return first, time.perf_counter() - begun


def _muster(kind: Database) -> str:
    return f"Muster, {kind}"
