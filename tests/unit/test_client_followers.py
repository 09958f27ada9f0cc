"""Many follow one run: they share a listener and reads, and each gets every event."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from control.async_run import AsyncRun
from control.event_pages import PAGE, EventPages
from envelope.errors import JournalUnavailable
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Event
from tests.rig import flows
from tests.unit.test_client import PATIENCE, DeafWakeups, client, work
from worker.wakeups.in_process import InProcessWakeups

_FOLLOWERS = 300


@pytest.fixture(autouse=True)
def fresh() -> None:
    flows.reset()


class CountedReads:
    """Reads from a journal at the test's command, and counts the reads."""

    def __init__(self, journal: Journal) -> None:
        self.count = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.error: Exception | None = None
        self._journal = journal

    async def events(self, run_id: str, after: int, limit: int) -> Sequence[Event]:
        self.count += 1
        found = await self._journal.events(run_id, after, limit)
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return found


async def numbers(run: AsyncRun) -> list[int]:
    return [event.number async for event in run.events()]


@pytest.mark.parametrize("wakeups", [InProcessWakeups, DeafWakeups])
def test_all_followers_get_all_events_and_nobody_disturbs_the_others_by_leaving(
    wakeups: type[InProcessWakeups],
) -> None:
    async def scenario() -> None:
        told = wakeups()
        async with client(told) as muster:
            run = await muster.enqueue("one", {"text": "x"})
            lookout = (await muster.manager()).lookout
            following = [asyncio.create_task(numbers(run)) for _ in range(_FOLLOWERS)]
            while lookout._waiting < _FOLLOWERS or not told._listeners:
                await asyncio.sleep(0)
            assert [len(queues) for queues in told._listeners.values()] == [1]
            for leaver in following[::2]:
                leaver.cancel()
            await work(muster, run, end=True)
            got = await asyncio.wait_for(asyncio.gather(*following[1::2]), PATIENCE)
            last = len(got[0])
            assert last >= 4
            assert got == [list(range(1, last + 1))] * (_FOLLOWERS // 2)
            assert not told._listeners
            assert await numbers(run) == got[0]

    asyncio.run(scenario())


def test_more_events_than_a_page_come_whole() -> None:
    async def scenario() -> None:
        async with client() as muster:
            run = await muster.enqueue("one", {"text": "x"})
            following = asyncio.create_task(numbers(run))
            await work(muster, run, end=True, progress=2 * PAGE)
            got = await asyncio.wait_for(following, PATIENCE)
            assert await numbers(run) == got
            assert got == list(range(1, len(got) + 1))
            assert len(got) > 2 * PAGE

    asyncio.run(scenario())


async def pages_of_a_run(muster: Any) -> tuple[CountedReads, EventPages, AsyncRun]:
    run = await muster.enqueue("one", {"text": "x"})
    reads = CountedReads((await muster.manager()).backend.journal)
    return reads, EventPages(reads), run  # type: ignore[arg-type] # all that pages need


def test_who_asks_at_the_same_time_shares_a_read() -> None:
    async def scenario() -> None:
        async with client() as muster:
            reads, pages, run = await pages_of_a_run(muster)
            got = await asyncio.gather(*(pages.after(run.id, 0) for _ in range(_FOLLOWERS)))
            assert reads.count == 1
            assert [event.type for event in got[0]] == ["run.queued"]
            assert got == [got[0]] * _FOLLOWERS
            await asyncio.gather(pages.after(run.id, 0), pages.after(run.id, 1))
            assert reads.count == 3

    asyncio.run(scenario())


def test_who_asks_during_a_read_sees_what_was_committed_before_asking() -> None:
    async def scenario() -> None:
        async with client() as muster:
            reads, pages, run = await pages_of_a_run(muster)
            reads.may_end.clear()
            early = asyncio.create_task(pages.after(run.id, 1))
            while not reads.count:
                await asyncio.sleep(0)
            await work(muster, run, end=False)
            late = asyncio.create_task(pages.after(run.id, 1))
            await asyncio.sleep(0)
            reads.may_end.set()
            assert await early == []
            assert len(await late) >= 2

    asyncio.run(scenario())


def test_a_follower_who_gives_up_does_not_take_the_read_along() -> None:
    async def scenario() -> None:
        async with client() as muster:
            _, pages, run = await pages_of_a_run(muster)
            first = asyncio.create_task(pages.after(run.id, 0))
            second = asyncio.create_task(pages.after(run.id, 0))
            await asyncio.sleep(0)
            first.cancel()
            assert len(await second) == 1

    asyncio.run(scenario())


def test_a_read_that_fails_fails_for_all_who_share_it_and_for_nobody_later() -> None:
    async def scenario() -> None:
        async with client() as muster:
            reads, pages, run = await pages_of_a_run(muster)
            reads.error = JournalUnavailable("away")
            got = await asyncio.gather(
                *(pages.after(run.id, 0) for _ in range(3)), return_exceptions=True
            )
            assert [str(error) for error in got] == ["away"] * 3
            reads.error = None
            assert len(await pages.after(run.id, 0)) == 1

    asyncio.run(scenario())
