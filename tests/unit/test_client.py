"""The client and its handles over a journal in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from control import AsyncMuster, CampaignManager, RunTimeout
from control.async_manager import AsyncCampaignManager
from control.async_run import AsyncRun
from control.looking import News
from control.loop_thread import LoopThread
from envelope.errors import InvalidInput, UnknownRun
from envelope.events import EventType
from envelope.ports.journal_rows import RunFilter, RunState
from envelope.ports.journal_writes import Commit, NewEvent, RunEnd
from tests.rig import flows
from tests.unit.test_control_backend import backend_over
from worker.queue.in_process import InProcessQueue
from worker.wakeups.in_process import InProcessWakeups

PATIENCE = 30


@pytest.fixture(autouse=True)
def fresh() -> None:
    flows.reset()


class DeafWakeups(InProcessWakeups):
    """Loses every notice."""

    def notify(self, channel: str, notice: str) -> None:
        pass


@asynccontextmanager
async def client(wakeups: InProcessWakeups | None = None) -> AsyncIterator[AsyncMuster]:
    """A client whose runs nobody executes; the test writes what a worker would."""

    async def ignore(_: object) -> None:
        pass

    queue = InProcessQueue(ignore)
    backend = backend_over(queue=queue, wakeups=wakeups)
    async with AsyncMuster(manager=AsyncCampaignManager(backend)) as muster:
        yield muster


async def work(muster: AsyncMuster, run: AsyncRun, *, end: bool, progress: int = 2) -> None:
    """Write as a worker would: some events, then perhaps the end."""
    backend = (await muster.manager()).backend
    claim = await backend.journal.claim(run.id, "w")
    assert claim is not None
    epoch = claim.run.epoch
    events = [NewEvent(type="my.progress")] * progress
    await backend.journal.commit(Commit(run_id=run.id, epoch=epoch, events=events))
    backend.wakeups.notify(run.id, "events")
    if end:
        last = NewEvent(type=EventType.RUN_CANCELLED)
        ended = RunEnd(state=RunState.CANCELLED)
        await backend.journal.commit(Commit(run_id=run.id, epoch=epoch, events=[last], end=ended))
        backend.wakeups.notify(run.id, "events")


@pytest.mark.parametrize("wakeups", [InProcessWakeups, DeafWakeups])
def test_waiting_ends_with_the_run_whether_or_not_wakeups_arrive(
    wakeups: type[InProcessWakeups],
) -> None:
    async def scenario() -> None:
        async with client(wakeups()) as muster:
            run = await muster.enqueue("one", {"text": "x"})
            waiting = asyncio.create_task(run.ended(PATIENCE))
            await asyncio.sleep(0)
            await work(muster, run, end=True)
            assert (await waiting).state is RunState.CANCELLED

    asyncio.run(scenario())


@pytest.mark.parametrize("wakeups", [InProcessWakeups, DeafWakeups])
def test_events_come_in_order_and_end_with_the_terminal_one(
    wakeups: type[InProcessWakeups],
) -> None:
    async def scenario() -> None:
        async with client(wakeups()) as muster:
            run = await muster.enqueue("one", {"text": "x"})

            async def collect(after: int) -> list[tuple[int, str]]:
                return [(event.number, event.type) async for event in run.events(after)]

            whole = asyncio.create_task(collect(0))
            later = asyncio.create_task(collect(3))
            await work(muster, run, end=True)
            numbers = await asyncio.wait_for(whole, PATIENCE)
            assert [number for number, _ in numbers] == list(range(1, len(numbers) + 1))
            assert numbers[0][1] == "run.queued"
            assert numbers[-1][1] == "run.cancelled"
            assert await asyncio.wait_for(later, PATIENCE) == numbers[3:]
            assert await asyncio.wait_for(collect(len(numbers)), PATIENCE) == []

    asyncio.run(scenario())


def test_an_end_that_comes_between_the_events_and_the_state_is_not_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        async with client(DeafWakeups()) as muster:
            run = await muster.enqueue("one", {"text": "x"})
            waits = 0

            async def wait(*_: object) -> bool:
                nonlocal waits
                waits += 1
                if waits == 2:  # the events so far have been read, and read again
                    await work(muster, run, end=True)
                return False

            monkeypatch.setattr(News, "wait", wait)
            assert [event.type async for event in run.events()][-1] == "run.cancelled"

    asyncio.run(scenario())


def test_a_wait_that_is_too_short_raises_and_the_run_goes_on() -> None:
    async def scenario() -> None:
        async with client() as muster:
            run = await muster.enqueue("one", {"text": "x"})
            with pytest.raises(RunTimeout) as caught:
                await run.result(timeout=0.01)
            assert caught.value.run_id == run.id
            assert caught.value.state is RunState.QUEUED
            assert await run.status() is RunState.QUEUED

    asyncio.run(scenario())


def test_no_listener_is_left_behind() -> None:
    async def scenario() -> None:
        wakeups = InProcessWakeups()
        async with client(wakeups) as muster:
            run = await muster.enqueue("one", {"text": "x"})
            with pytest.raises(RunTimeout):
                await run.result(timeout=0.05)
            assert not wakeups._listeners

    asyncio.run(scenario())


def test_hundreds_wait_at_once() -> None:
    async def scenario() -> None:
        async with client() as muster:
            runs = [await muster.enqueue("one", {"text": "x"}) for _ in range(300)]
            waiting = [asyncio.create_task(run.ended(PATIENCE)) for run in runs]
            for run in runs:
                await work(muster, run, end=True)
            ended = await asyncio.gather(*waiting)
            assert {run.state for run in ended} == {RunState.CANCELLED}

    asyncio.run(scenario())


def test_runs_are_found_by_a_beginning_or_ending_of_their_id() -> None:
    async def scenario() -> None:
        async with client() as muster:
            first = await muster.enqueue("one", {"text": "x"})
            second = await muster.enqueue("one", {"text": "x"})
            assert (await muster.get(first.id)).id == first.id
            assert (await muster.get(first.id[-12:])).id == first.id
            assert (await muster.get(second.id[:23])).id == second.id
            with pytest.raises(InvalidInput, match="2 runs"):
                await muster.get(first.id[:5])
            with pytest.raises(InvalidInput, match="at least 4"):
                await muster.get("01")
            for unknown in ("ffffff", "f" * 36, "a\x00b\x00c", "", "ä" * 40):
                with pytest.raises((UnknownRun, InvalidInput)):
                    await muster.get(unknown)

    asyncio.run(scenario())


def test_runs_are_listed_by_state_flow_and_tags_page_by_page() -> None:
    async def scenario() -> None:
        async with client() as muster:
            runs = [
                await muster.enqueue("one", {"text": "x"}, tags={"n": str(n % 2)}) for n in range(6)
            ]
            newest_first = [run.id for run in reversed(runs)]
            assert [run.run_id for run in await muster.runs()] == newest_first
            page = await muster.runs(limit=2, before=newest_first[1])
            assert [run.run_id for run in page] == newest_first[2:4]
            tagged = await muster.runs(tags={"n": "1"}, states=["queued"], flow="one")
            assert [run.run_id for run in tagged] == newest_first[::2]
            assert [run.run_id async for run in muster.every_run(tags={"n": "0"})] == (
                newest_first[1::2]
            )
            with pytest.raises(InvalidInput, match="succeeded"):
                await muster.runs(states=["done"])

    asyncio.run(scenario())


def test_cancelling_what_was_not_started_ends_it_and_tells_those_who_wait() -> None:
    async def scenario() -> None:
        async with client() as muster:
            run = await muster.enqueue("one", {"text": "x"})
            waiting = asyncio.create_task(run.ended(PATIENCE))
            await asyncio.sleep(0)
            assert await run.cancel("no more") is RunState.CANCELLED
            ended = await waiting
            assert ended.cancel_reason == "no more"
            with pytest.raises(UnknownRun):
                await (await muster.manager()).handle("nothing").cancel()

    asyncio.run(scenario())


def test_a_running_run_is_cancelled_in_process() -> None:
    async def scenario() -> None:
        async with await AsyncCampaignManager.in_process() as manager:
            ingesting = asyncio.create_task(
                manager.ingest_event({"flow": "three", "payload": {"text": "x"}})
            )
            while not flows.CALLS["two"]:
                await asyncio.sleep(0.001)
            [row] = await manager.backend.journal.runs(RunFilter())
            await manager.handle(row.run_id).cancel("stop")
            run = await ingesting
            assert await run.status() is RunState.CANCELLED

    asyncio.run(scenario())


def test_the_synchronous_handle_serves_several_threads() -> None:
    with CampaignManager() as manager:
        seen: list[RunState] = []

        def ingest() -> None:
            run = manager.ingest_event({"flow": "one", "payload": {"text": "shout"}})
            seen.append(run.status())

        threads = [threading.Thread(target=ingest) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [RunState.SUCCEEDED] * 8


def test_events_of_a_synchronous_handle_may_be_left_early() -> None:
    with CampaignManager() as manager:
        run = manager.ingest_event({"flow": "one", "payload": {"text": "shout"}})
        for event in run.events():
            assert event.number == 1
            break
        assert run.status() is RunState.SUCCEEDED


def test_a_closed_loop_thread_refuses_work_and_leaves_no_thread() -> None:
    thread = LoopThread()

    async def answer() -> int:
        return 42

    assert thread.call(answer()) == 42
    thread.close()
    with pytest.raises(RuntimeError, match="closed"):
        thread.call(answer())
    assert "muster-client" not in {known.name for known in threading.enumerate()}
