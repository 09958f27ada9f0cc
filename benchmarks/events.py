"""Events of one run to many subscribers: how long each takes from its agent to whoever follows."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from redis.asyncio import Redis

from benchmarks.figures import Report, Section, percentile
from benchmarks.rounds import Contender, Measured, alternate
from benchmarks.stage import Cluster, Database, Stage
from control.async_run import AsyncRun

TITLE = "events to many subscribers in one client process"
_P50, _P99 = "delay p50, ms", "delay p99, ms"
_PUBSUB = "Redis pub/sub, a connection each"
_BEAT = "beat"
_NOTES = (
    (
        "The delay is from the agent's emit to the subscriber's hand: committed, told, read. "
        "Nothing is missed and a subscriber may come late. Pub/sub is the floor: it keeps "
        "nothing, and who comes late has missed it."
    ),
)


@dataclass(frozen=True)
class Size:
    """How many follow, in one experiment each, and what they get."""

    subscribers: tuple[int, ...] = (1, 100, 1000)
    events: int = 10
    seconds: float = 0.2


TINY = Size(subscribers=(1, 3), events=2, seconds=0.01)


async def measure(stage: Stage, size: Size | None = None) -> Report:
    """Measure on every database."""
    size = size or Size()
    report = Report("events", TITLE, notes=list(_NOTES))
    async with AsyncExitStack() as stack:
        clusters = {
            kind: await stack.enter_async_context(stage.cluster(kind)) for kind in stage.databases
        }
        bare = stage.redis_url()
        for count in size.subscribers:
            report.sections.append(await _followed(stage, clusters, bare, count, size))
    return report


async def _followed(
    stage: Stage, clusters: dict[Database, Cluster], bare: str, count: int, size: Size
) -> Section:
    def ours(kind: Database) -> Contender:
        return Contender(_muster(kind), lambda: _run_followed(clusters[kind], count, size))

    contenders = [*map(ours, clusters), Contender(_PUBSUB, lambda: _pubsub(bare, count, size))]
    title = f"{count} subscribers, {size.events} events, one every {size.seconds:g} s"
    section = await alternate(title, contenders, stage.rounds)
    for kind in clusters:
        section.compare((_muster(kind), _P50), (_PUBSUB, _P50))
    return section


async def _run_followed(cluster: Cluster, count: int, size: Size) -> Measured:
    payload = {"steps": size.events, "seconds": size.seconds}
    run = await cluster.manager.ingest_event({"flow": "bench_beats", "payload": payload})
    following: list[asyncio.Event] = [asyncio.Event() for _ in range(count)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_follow(run, event)) for event in following]
        for event in following:
            await event.wait()
        await run.signal("go")
    return _figures([delay for task in tasks for delay in task.result()], count, size)


async def _follow(run: AsyncRun, following: asyncio.Event) -> list[float]:
    delays = []
    async for event in run.events():
        following.set()
        if event.type == _BEAT:
            delays.append(time.time() - json.loads(event.data)["at"])
    return delays


async def _pubsub(url: str, count: int, size: Size) -> Measured:
    channel = f"bench:{time.time_ns()}"
    subscribed = [asyncio.Event() for _ in range(count)]
    async with (
        Redis.from_url(url, decode_responses=True, max_connections=count + 1) as client,
        asyncio.TaskGroup() as group,
    ):
        listening = (_listen(client, channel, size.events, event) for event in subscribed)
        tasks = [group.create_task(listener) for listener in listening]
        for event in subscribed:
            await event.wait()
        for _ in range(size.events):
            await client.publish(channel, repr(time.time()))
            await asyncio.sleep(size.seconds)
    return _figures([delay for task in tasks for delay in task.result()], count, size)


async def _listen(
    client: Redis, channel: str, events: int, subscribed: asyncio.Event
) -> list[float]:
    delays: list[float] = []
    async with client.pubsub() as subscription:
        await subscription.subscribe(channel)
        async for message in subscription.listen():
            subscribed.set()
            if message["type"] == "message":
                delays.append(time.time() - float(message["data"]))
            if len(delays) == events:
                break
    return delays


def _figures(delays: list[float], count: int, size: Size) -> Measured:
    """Delays in milliseconds; a count that is short would be a defect, and is refused.

    Raises:
        RuntimeError: A subscriber missed an event.
    """
    if len(delays) != count * size.events:
        raise RuntimeError(f"{count * size.events} events were due, {len(delays)} came")
    return {_P50: percentile(delays, 0.5) * 1e3, _P99: percentile(delays, 0.99) * 1e3}


def _muster(kind: Database) -> str:
    return f"Muster, {kind}"
