"""What every implementation of the queue port must do: within a process, on Celery over Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import pytest
from redis import Redis

from envelope.errors import QueueUnavailable
from envelope.ports.journal_rows import Hint, RunState
from envelope.ports.queue import Queue, topic
from tests.rig import flows
from tests.rig.engine_rig import rigged
from tests.services.ports import free_port
from tests.services.redis_server import PrivateRedis
from worker.app import MusterCelery, configure
from worker.queue.celery_queue import CeleryQueue
from worker.queue.in_process import InProcessQueue

PATIENCE = 20.0
FLOW, AGENT = "queue-flow", "queue-agent"
RUNS, STEPS = f"runs.{FLOW}", f"agent.{AGENT}"

Carried = tuple[str, str, str | None]
"""Topic, run and step, as whoever consumes gets them."""


class Bench(Protocol):
    """A queue from which nothing is taken until a test asks for it."""

    queue: Queue

    async def take(self, name: str, count: int) -> list[Carried]:
        """Return what comes out of a topic, in that order."""


Benched = Callable[[], AbstractAsyncContextManager[Bench]]


class InProcessBench:
    """One worker, kept busy by a hint of its own until something is taken."""

    def __init__(self) -> None:
        self.queue = InProcessQueue(self._handle, workers=1)
        self._waited = asyncio.Event()
        self._go_on = asyncio.Semaphore(0)
        self._out: asyncio.Queue[Carried] = asyncio.Queue()

    async def hold(self) -> None:
        await self.queue.enqueue([Hint(run_id="held", flow="hold", priority=9)])
        await self._waited.wait()

    async def take(self, name: str, count: int) -> list[Carried]:
        taken = []
        for _ in range(count):
            self._go_on.release()
            taken.append(await self._out.get())
        assert {where for where, _, _ in taken} == {name}
        return taken

    async def _handle(self, hint: Hint) -> None:
        if self._waited.is_set():
            self._out.put_nowait((topic(hint), hint.run_id, hint.step))
        self._waited.set()
        await self._go_on.acquire()


class CeleryBench:
    """Messages are taken as a worker's consumer takes them, one at a time."""

    def __init__(self, redis_url: str) -> None:
        self.app = celery_app(redis_url)
        self.queue = CeleryQueue(self.app)

    async def take(self, name: str, count: int) -> list[Carried]:
        return await asyncio.to_thread(self._take, name, count)

    def _take(self, name: str, count: int) -> list[Carried]:
        with self.app.connection_for_read() as connection:
            channel = connection.default_channel
            messages = [channel.basic_get(name, no_ack=True) for _ in range(count)]
        return [_carried(name, message) for message in messages]


def _carried(name: str, message: Any) -> Carried:
    assert message is not None, f"nothing is left in {name}"
    (args, *_), task = message.decode(), message.headers["task"]
    run_id, step = [*args, None][:2]
    assert task == (f"run.{FLOW}" if step is None else f"agent.{AGENT}")
    return name, run_id, step


def celery_app(redis_url: str) -> MusterCelery:
    app = MusterCelery("queue-test", set_as_current=False)
    configure(app, redis_url)
    return app


@pytest.fixture(params=["in process", "celery"])
def bench(request: pytest.FixtureRequest) -> Benched:
    @asynccontextmanager
    async def in_process() -> AsyncIterator[Bench]:
        made = InProcessBench()
        await made.hold()
        yield made
        await made.queue.close()

    @asynccontextmanager
    async def on_celery() -> AsyncIterator[Bench]:
        url = request.getfixturevalue("redis_url")
        with Redis.from_url(url) as redis:
            redis.flushall()
        made = CeleryBench(url)
        yield made
        await made.queue.close()

    if request.param == "celery":
        request.getfixturevalue("redis_url")  # outside of any loop
        return on_celery
    return in_process


def check(bench: Benched, case: Callable[[Bench], Awaitable[None]]) -> None:
    async def go() -> None:
        async with asyncio.timeout(PATIENCE), bench() as made:
            await case(made)

    asyncio.run(go())


def run_hint(run_id: str, priority: int = 0) -> Hint:
    return Hint(run_id=run_id, flow=FLOW, priority=priority)


def step_hint(run_id: str, step: str) -> Hint:
    return Hint(run_id=run_id, flow=FLOW, priority=0, step=step, agent=AGENT)


def run_ids(taken: Sequence[Carried]) -> list[str]:
    return [run_id for _, run_id, _ in taken]


def test_a_run_goes_to_its_flow_s_topic_and_a_step_to_its_agent_s(bench: Benched) -> None:
    async def case(made: Bench) -> None:
        await made.queue.enqueue([run_hint("r1")])
        assert await made.take(RUNS, 1) == [(RUNS, "r1", None)]
        await made.queue.enqueue([step_hint("r2", "s 1/é")])
        assert await made.take(STEPS, 1) == [(STEPS, "r2", "s 1/é")]

    check(bench, case)


def test_hints_of_one_priority_keep_their_order(bench: Benched) -> None:
    async def case(made: Bench) -> None:
        await made.queue.enqueue([run_hint(f"r{n}") for n in range(5)])
        await made.queue.enqueue([run_hint(f"r{n}") for n in range(5, 8)])
        assert run_ids(await made.take(RUNS, 8)) == [f"r{n}" for n in range(8)]

    check(bench, case)


def test_the_higher_priority_goes_first_whenever_it_came(bench: Benched) -> None:
    async def case(made: Bench) -> None:
        await made.queue.enqueue([run_hint("low"), run_hint("middle", 4)])
        await made.queue.enqueue([run_hint("high", 9), run_hint("high too", 9)])
        taken = run_ids(await made.take(RUNS, 4))
        assert taken == ["high", "high too", "middle", "low"]

    check(bench, case)


def test_the_depth_is_what_waits_in_each_topic(bench: Benched) -> None:
    async def case(made: Bench) -> None:
        nothing = {RUNS: 0, STEPS: 0, "runs.never-heard-of": 0}
        assert await made.queue.depth(list(nothing)) == nothing
        await made.queue.enqueue([run_hint("r1"), run_hint("r2", 9), step_hint("r1", "s0")])
        assert await made.queue.depth(list(nothing)) == {**nothing, RUNS: 2, STEPS: 1}
        assert await made.queue.depth([STEPS]) == {STEPS: 1}
        assert await made.queue.depth([]) == {}
        await made.take(RUNS, 1)
        assert await made.queue.depth([RUNS]) == {RUNS: 1}

    check(bench, case)


def test_nothing_to_send_sends_nothing(bench: Benched) -> None:
    async def case(made: Bench) -> None:
        await made.queue.enqueue([])
        assert await made.queue.depth([RUNS]) == {RUNS: 0}

    check(bench, case)


def test_many_senders_at_once_lose_nothing(bench: Benched) -> None:
    async def case(made: Bench) -> None:
        batches = [[run_hint(f"{sender}-{n}") for n in range(5)] for sender in range(10)]
        await asyncio.gather(*(made.queue.enqueue(batch) for batch in batches))
        taken = run_ids(await made.take(RUNS, 50))
        assert sorted(taken) == sorted(hint.run_id for batch in batches for hint in batch)

    check(bench, case)


def test_a_hint_that_comes_twice_executes_its_run_once(bench: Benched) -> None:
    flows.reset()

    async def case(made: Bench) -> None:
        async with rigged() as rig:
            run_id = await rig.accept("one", {"text": "shout"})
            await made.queue.enqueue([run_hint(run_id)])
            await made.queue.enqueue([run_hint(run_id), run_hint(run_id)])
            taken = await made.take(RUNS, 3)
            await asyncio.gather(*(rig.execute(each) for each in run_ids(taken)))
            assert (await rig.run(run_id)).state is RunState.SUCCEEDED
            kinds = [event.type for event in await rig.events(run_id)]
            assert kinds.count("run.started") == kinds.count("step.started") == 1

    check(bench, case)


def test_a_queue_may_be_closed_twice_and_before_it_is_used(bench: Benched) -> None:
    async def case(made: Bench) -> None:
        await made.queue.close()
        await made.queue.close()

    check(bench, case)


def test_in_this_process_nothing_is_handled_after_the_end() -> None:
    async def go() -> None:
        before = asyncio.all_tasks()
        begun, cancelled, handled = asyncio.Event(), asyncio.Event(), list[str]()

        async def handle(hint: Hint) -> None:
            handled.append(hint.run_id)
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        queue = InProcessQueue(handle, workers=1)
        await queue.enqueue([run_hint("r1"), run_hint("r2")])
        await begun.wait()
        await queue.close()
        assert cancelled.is_set()
        assert handled == ["r1"]
        assert asyncio.all_tasks() == before

    asyncio.run(asyncio.wait_for(go(), PATIENCE))


def test_what_celery_has_taken_outlives_the_queue_that_sent_it(redis_url: str) -> None:
    async def go() -> None:
        sender, receiver = CeleryBench(redis_url), CeleryBench(redis_url)
        await sender.queue.enqueue([run_hint("r1")])
        await sender.queue.close()
        assert await receiver.take(RUNS, 1) == [(RUNS, "r1", None)]
        await receiver.queue.close()

    with Redis.from_url(redis_url) as redis:
        redis.flushall()
    asyncio.run(asyncio.wait_for(go(), PATIENCE))


@pytest.fixture
def own_redis() -> Iterator[PrivateRedis]:
    server = PrivateRedis().start()
    yield server
    server.close()


def test_while_redis_is_away_the_queue_says_so_and_then_goes_on(own_redis: PrivateRedis) -> None:
    async def go() -> None:
        made = CeleryBench(own_redis.url)
        await made.queue.enqueue([run_hint("r1")])
        await asyncio.to_thread(own_redis.kill)
        for refused in (made.queue.enqueue([run_hint("r2")]), made.queue.depth([RUNS])):
            with pytest.raises(QueueUnavailable, match="MUSTER_REDIS_URL"):
                await refused
        await asyncio.to_thread(own_redis.start)
        await made.queue.enqueue([run_hint("r3")])
        assert "r3" in run_ids(await made.take(RUNS, (await made.queue.depth([RUNS]))[RUNS]))
        await made.queue.close()

    asyncio.run(asyncio.wait_for(go(), 60))


def test_an_outage_is_told_without_the_password() -> None:
    async def go() -> str:
        queue = CeleryQueue(celery_app(f"redis://:hush-hush@127.0.0.1:{free_port()}/0"))
        with pytest.raises(QueueUnavailable) as told:
            await queue.enqueue([run_hint("r1")])
        await queue.close()
        return str(told.value)

    assert "hush-hush" not in asyncio.run(asyncio.wait_for(go(), PATIENCE))


def test_a_hint_whose_handling_fails_stops_no_other_one() -> None:
    handled: list[str] = []

    async def handle(hint: Hint) -> None:
        handled.append(hint.run_id)
        if hint.run_id == "bad":
            raise ValueError("as an engine's bug would")

    async def go() -> None:
        queue = InProcessQueue(handle, workers=1)
        await queue.enqueue([run_hint("bad"), run_hint("good")])
        while handled != ["bad", "good"]:
            await asyncio.sleep(0)
        await queue.close()

    asyncio.run(asyncio.wait_for(go(), PATIENCE))
