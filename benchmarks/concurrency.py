"""Thousands of agents that wait for one second, in one process: makespan and memory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.util import find_spec

from benchmarks.figures import Report, Sample, Section, at_most
from benchmarks.machine import peak_memory, resident_memory
from benchmarks.peers.celery_worker import PlainCelery
from benchmarks.program import Program
from benchmarks.rounds import Contender, Measured, alternate
from benchmarks.stage import Cluster, Stage

TITLE = "concurrent agents that wait, in one process"
_MAKESPAN, _MEMORY = "makespan, s", "peak memory, MB"
_ADDED = "memory above idle, MB"
_AT_ONCE, _EACH = "agents at once", "memory above idle for each of them, KB"
_INLINE, _QUEUED = "Muster inline", "Muster queued"
_GEVENT, _THREADS = "Celery gevent", "Celery threads"
_NOTES = (
    (
        "Muster executes one run whose steps all wait at once; each step is committed to SQLite "
        "and, inline, seen to run while it does. Celery executes as many tasks with results. "
        "The ideal is the wait itself."
    ),
    "Peak memory is the most that the process that executes ever had resident (Linux only).",
    (
        "Agents at once are those that really waited at the same time. Who begins them slowly, "
        "as Celery's threads and greenlets do, never has them all, so memory is compared for each."
    ),
)


@dataclass(frozen=True)
class Size:
    """How many wait at once, in one experiment each, and for how long."""

    agents: tuple[int, ...] = (2000, 5000)
    seconds: float = 1.0


TINY = Size(agents=(5,), seconds=0.1)


async def measure(stage: Stage, size: Size | None = None) -> Report:
    """Measure every number of agents."""
    size = size or Size()
    report = Report("concurrency", TITLE, notes=list(_NOTES))
    for number, agents in enumerate(size.agents):
        section = await _waiting(stage, agents, size.seconds)
        ideal = Sample("ideal", _MAKESPAN, (size.seconds,) * stage.rounds)
        section.samples.append(ideal)
        first = number == 0
        section.compare((_INLINE, _MAKESPAN), ("ideal", _MAKESPAN), at_most(1.5) if first else None)
        section.compare((_INLINE, _EACH), (_THREADS, _EACH), at_most(0.25))
        section.compare((_INLINE, _MEMORY), (_THREADS, _MEMORY))
        for peer in (_GEVENT, _THREADS):
            section.compare((_INLINE, _MAKESPAN), (peer, _MAKESPAN))
            section.compare((_QUEUED, _MAKESPAN), (peer, _MAKESPAN))
        report.sections.append(section)
    if find_spec("gevent") is None:
        report.note("gevent is not installed: add --group benchmarks.")
    return report


async def _waiting(stage: Stage, agents: int, seconds: float) -> Section:
    async with AsyncExitStack() as stack:
        inline = await stack.enter_async_context(stage.inline("SQLite"))
        await inline.ask("ready")
        cluster = await stack.enter_async_context(
            stage.cluster("SQLite", "-c", str(agents), concurrency=agents)
        )
        peers = {_THREADS: await stack.enter_async_context(stage.celery("threads", agents))}
        if find_spec("gevent") is not None:
            peers[_GEVENT] = await stack.enter_async_context(stage.celery("gevent", agents))
        contenders = [
            _with_memory(Contender(_INLINE, lambda: _inline(inline, agents, seconds)), inline.pid),
            _with_memory(
                Contender(_QUEUED, lambda: _queued(cluster, agents, seconds)), cluster.pids[0]
            ),
            *(_peer(name, celery, agents, seconds) for name, celery in peers.items()),
        ]
        return await alternate(f"{agents} agents, {seconds:g} s each", contenders, stage.rounds)


async def _inline(program: Program, agents: int, seconds: float) -> Measured:
    taken = await program.ask("runs", flow="bench_wide", payload=_payload(agents, seconds), count=1)
    return {_MAKESPAN: taken, _AT_ONCE: await program.ask("at_once")}


async def _queued(cluster: Cluster, agents: int, seconds: float) -> Measured:
    begun = time.perf_counter()
    payload = {**_payload(agents, seconds), "inline": False}
    run = await cluster.manager.ingest_event({"flow": "bench_wide", "payload": payload})
    await run.result(timeout=300)
    return {_MAKESPAN: time.perf_counter() - begun}


def _peer(name: str, celery: PlainCelery, agents: int, seconds: float) -> Contender:
    async def measured() -> Measured:
        begun = time.perf_counter()
        begins = await celery.results([celery.task("wait", seconds) for _ in range(agents)])
        taken = time.perf_counter() - begun
        return {_MAKESPAN: taken, _AT_ONCE: most_at_once(begins, seconds)}

    return _with_memory(Contender(name, measured), celery.pid)


def most_at_once(begins: Iterable[float], seconds: float) -> int:
    """Return how many of those that last `seconds` from these times on overlap, at most."""
    current: deque[float] = deque()
    most = 0
    for begin in sorted(begins):
        while current and current[0] <= begin - seconds:
            current.popleft()
        current.append(begin)
        most = max(most, len(current))
    return most


def _payload(agents: int, seconds: float) -> dict[str, object]:
    return {"steps": agents, "seconds": seconds, "agent": "bench_wait"}


def _with_memory(contender: Contender, pid: int) -> Contender:
    """Add what the process needed at most, in all and above what it had when it was idle."""
    idle = resident_memory(pid)

    async def measured() -> Measured:
        figures = await contender.measure()
        peak = peak_memory(pid)
        if peak is None or idle is None:
            return figures
        memory = {_MEMORY: peak, _ADDED: peak - idle}
        if at_once := figures.get(_AT_ONCE):
            memory[_EACH] = (peak - idle) * 1000 / at_once
        return {**figures, **memory}

    return Contender(contender.name, measured)
