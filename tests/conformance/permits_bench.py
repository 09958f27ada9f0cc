"""Desks of several workers over one ledger, whichever it is, and what a test does with them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Protocol

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from envelope.ports.permits import AgentPermits, PermitAsk, Permits
from worker.coordination.permits.desk import Desk
from worker.coordination.permits.in_process import InProcessPermits
from worker.coordination.permits.office import Office
from worker.coordination.permits.redis_permits import RedisPermits

AGENT = "writer"
_POLL_SECONDS = 0.005
_LOOK_SECONDS = 0.05


async def until(condition: Callable[[], Awaitable[Any]], what: str, seconds: float = 20.0) -> Any:
    """The first truthy value of the condition; fails with `what` when none came in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not (value := await condition()):
        assert asyncio.get_running_loop().time() < deadline, f"Waited in vain: {what}"
        await asyncio.sleep(_POLL_SECONDS)
    return value


class Bench(Protocol):
    """Where desks are opened."""

    async def desk(self, worker: str) -> Permits: ...

    async def close(self) -> None: ...


class InProcessBench:
    def __init__(self) -> None:
        self._office = Office()
        self._desks: list[Permits] = []

    async def desk(self, worker: str) -> Permits:
        self._desks.append(InProcessPermits(self._office, worker))
        return self._desks[-1]

    async def close(self) -> None:
        for desk in self._desks:
            await desk.close()


class RedisBench:
    """Notices travel as they do for a worker: over its wake-up channel.

    Desks look by themselves, as they do in a worker, unless a test does it for them.
    """

    def __init__(self, url: str, *, grace_seconds: float = 10.0, looking: bool = True) -> None:
        self.url = url
        self.living: set[str] = set()
        self.log: Any = structlog.get_logger()
        self._grace = grace_seconds
        self._looking = looking
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._desks: dict[str, RedisPermits] = {}

    async def desk(self, worker: str, *, told: bool = True) -> RedisPermits:
        """A desk whose process lives; without notices where it is not `told`."""
        self.living.add(worker)
        desk = RedisPermits(
            self.url, worker, living=self._living, log=self.log, grace_seconds=self._grace
        )
        self._desks[worker] = desk
        tasks = self._tasks[worker] = []
        if told:
            ready = asyncio.Event()
            tasks.append(asyncio.create_task(self._listen(worker, desk, ready)))
            await ready.wait()
        await desk.look()
        if self._looking:
            tasks.append(asyncio.create_task(_look_for_ever(desk)))
        return desk

    def kill(self, worker: str) -> None:
        """Its process dies: it does nothing any more, and the journal learns of it."""
        desk = self._desks[worker]
        if desk._sending is not None:
            desk._sending.cancel()
        for task in self._tasks[worker]:
            task.cancel()
        desk._desk = Desk(lambda: None)
        self.living.discard(worker)

    async def look(self) -> None:
        """One round of care of every living desk."""
        await asyncio.gather(*(self._desks[worker].look() for worker in sorted(self.living)))

    async def close(self) -> None:
        tasks = [task for tasks in self._tasks.values() for task in tasks]
        pending = set(tasks)
        while pending:  # the client may swallow a cancellation
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=0.2)
        for desk in self._desks.values():
            await desk.close()

    async def _living(self) -> Collection[str]:
        return set(self.living)

    async def _listen(self, worker: str, desk: RedisPermits, ready: asyncio.Event) -> None:
        async with Redis.from_url(self.url, decode_responses=True) as client:
            while True:
                with suppress(RedisError, OSError):
                    async with client.pubsub() as subscription:
                        await subscription.subscribe(f"muster:wake:{worker}")
                        ready.set()
                        async for message in subscription.listen():
                            if message["type"] == "message":
                                desk.told(message["data"])
                await asyncio.sleep(_LOOK_SECONDS)


async def _look_for_ever(desk: Permits) -> None:
    while True:
        await desk.look()
        await asyncio.sleep(_LOOK_SECONDS)


@asynccontextmanager
async def opened(bench: RedisBench) -> AsyncIterator[RedisBench]:
    """The bench, closed at the end."""
    try:
        yield bench
    finally:
        await bench.close()


def ask(
    step: int | str, *, limit: int = 1, tenant: str = "t", priority: int = 0, agent: str = AGENT
) -> PermitAsk:
    return PermitAsk(
        agent=agent, run_id="run", step=str(step), limit=limit, tenant=tenant, priority=priority
    )


def acquire(desk: Permits, wanted: PermitAsk) -> asyncio.Task[None]:
    return asyncio.create_task(desk.acquire(wanted))


async def of(desk: Permits, agent: str = AGENT) -> AgentPermits:
    """What the ledger says of an agent."""
    found = [permits for permits in await desk.report() if permits.agent == agent]
    return found[0] if found else AgentPermits(agent=agent, limit=None, holders=(), waiters=())


async def held(desk: Permits, agent: str = AGENT) -> list[str]:
    return sorted(holder.step for holder in (await of(desk, agent)).holders)


async def waiting(desk: Permits, agent: str = AGENT) -> list[str]:
    """The steps that wait, in the order of grants."""
    return [waiter.step for waiter in (await of(desk, agent)).waiters]


async def queue(desk: Permits, *asks: PermitAsk) -> dict[str, asyncio.Task[None]]:
    """Ask one after the other, each in a turn of its own, none of which is granted."""
    tasks = {}
    for wanted in asks:
        tasks[wanted.step] = acquire(desk, wanted)

        await until(partial(_waits, desk, wanted), f"{wanted.step} waits")
    return tasks


async def _waits(desk: Permits, wanted: PermitAsk) -> bool:
    return wanted.step in await waiting(desk, wanted.agent)


async def executed(desk: Permits) -> None:
    """Return when the ledger has executed whatever the desk said so far."""
    barrier = ask("barrier", agent="barrier", limit=1000)
    await desk.acquire(barrier)
    desk.release("barrier", "run", "barrier")


async def order(desk: Permits, tasks: dict[str, asyncio.Task[None]]) -> list[str]:
    """Let the tasks have one permit after the other, as each gives it back; who came when."""
    came: list[str] = []
    pending = dict(tasks)
    while pending:
        await asyncio.wait(pending.values(), timeout=20, return_when=asyncio.FIRST_COMPLETED)
        done = [step for step, task in pending.items() if task.done()]
        assert len(done) == 1, f"{done} at once after {came}"
        came += done
        await pending.pop(done[0])
        desk.release(AGENT, "run", done[0])
    return came
