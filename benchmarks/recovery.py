"""A worker is killed while its runs work: how long until they go on elsewhere, and end."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import time
from dataclasses import dataclass

from benchmarks.figures import Report, Sample, Section
from benchmarks.rounds import Contender, Measured, alternate
from benchmarks.stage import Cluster, Database, Stage
from control.async_run import AsyncRun
from envelope.events import EventType

TITLE = "recovery after SIGKILL of a worker"
_MEDIAN, _LAST, _DONE = "resumed, median, s", "resumed, last, s", "all ended, s"
_STEPS = 2


@dataclass(frozen=True)
class Size:
    """What is under way when the worker is killed.

    Attributes:
        runs: How many runs.
        seconds: How long the step lasts in which each of them is then.
        lease_seconds: After how long a silent worker's runs are taken over; also Celery's
            visibility timeout.
        heartbeat_seconds: How often a worker renews its lease.
        patience_seconds: How long Celery is waited for.
    """

    runs: int = 20
    seconds: float = 3.0
    lease_seconds: float = 10.0
    heartbeat_seconds: float = 2.0
    patience_seconds: float = 150.0


TINY = Size(runs=2, seconds=1.0, lease_seconds=1.0, heartbeat_seconds=0.3, patience_seconds=1.0)


async def measure(stage: Stage, size: Size | None = None) -> Report:
    """Measure on every database; the peer once, as it takes its time."""
    size = size or Size()
    report = Report("recovery", TITLE)
    contenders = [_muster(stage, kind, size) for kind in stage.databases]
    title = f"{size.runs} runs in a step of {size.seconds:g} s, lease {size.lease_seconds:g} s"
    section = await alternate(title, contenders, stage.rounds, warm_up=False)
    lease = Sample("lease", "s", (size.lease_seconds,) * stage.rounds)
    section.samples.append(lease)
    for kind in stage.databases:
        section.compare((f"Muster, {kind}", _LAST), ("lease", "s"))
    report.sections += [section, await _celery(stage, size, report)]
    report.note("A resumed run keeps its committed steps; Celery starts the task again.")
    return report


def _muster(stage: Stage, kind: Database, size: Size) -> Contender:
    async def measured() -> Measured:
        lease, heartbeat = size.lease_seconds, size.heartbeat_seconds
        async with stage.cluster(kind, lease_seconds=lease, heartbeat_seconds=heartbeat) as cluster:
            return await _killed(cluster, size)

    return Contender(f"Muster, {kind}", measured)


async def _killed(cluster: Cluster, size: Size) -> Measured:
    """Kill the worker that has the first run; what the other one has goes on undisturbed."""
    await cluster.start_worker()
    event = {"flow": "bench_hold", "payload": {"seconds": size.seconds}}
    runs = await cluster.manager.ingest_many([event] * size.runs)
    await asyncio.gather(*(_in_second_step(run) for run in runs))
    rows = [await run.row() for run in runs]
    journal = cluster.manager.backend.journal
    pids = {worker.worker_id: worker.pid for worker in await journal.workers()}
    victim = rows[0].owner
    killed = time.time()
    os.kill(pids[victim or ""], signal.SIGKILL)
    await asyncio.gather(*(run.result(timeout=300) for run in runs))
    done = time.time() - killed
    lost = [run for run, row in zip(runs, rows, strict=True) if row.owner == victim]
    gaps = sorted([await _resumed(run) - killed for run in lost])
    return {_MEDIAN: statistics.median(gaps), _LAST: gaps[-1], _DONE: done}


async def _in_second_step(run: AsyncRun) -> None:
    """Return when the step that lasts is under way."""
    begun = 0
    async for event in run.events():
        begun += event.type == EventType.STEP_STARTED
        if begun == _STEPS:
            return


async def _resumed(run: AsyncRun) -> float:
    """When the run went on, by the journal's clock."""
    return next(e.at for e in [e async for e in run.events()] if e.type == EventType.RUN_RESUMED)


async def _celery(stage: Stage, size: Size, report: Report) -> Section:
    """The peer, once: acknowledged late and delivered again after its visibility timeout."""
    section = Section(f"{size.runs} tasks, visibility timeout {size.lease_seconds:g} s")
    async with stage.celery("threads", size.runs, size.lease_seconds) as celery:
        sent = await celery.send([celery.task("wait", size.seconds) for _ in range(size.runs)])
        await celery.until_active(size.runs)
        killed = time.time()
        await celery.kill()
        await celery.start()
        begun = await celery.wait(sent, size.patience_seconds)
        done = time.time() - killed
    if begun is None:
        report.note(f"Celery had not ended all tasks {size.patience_seconds:g} s after the kill.")
    else:
        gaps = {_MEDIAN: statistics.median(begun) - killed, _LAST: max(begun) - killed, _DONE: done}
        section.samples += [Sample("Celery", name, (value,)) for name, value in gaps.items()]
    return section
