"""Signals and cancellations over a journal in memory: what is kept, who is told, what is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from control import AsyncMuster
from control.async_manager import AsyncCampaignManager
from envelope.errors import InvalidInput, RunEnded, TooLarge, UnknownRun
from envelope.ids import new_id
from envelope.ports.journal_rows import RunState, Waits
from envelope.ports.journal_writes import Commit, NewRun, RunEnd
from tests.rig import waiting_flows
from tests.unit.test_control_backend import RecordingQueue, ToldWakeups, backend_over
from worker.backend import Backend


@asynccontextmanager
async def client(queue: RecordingQueue | None = None) -> AsyncIterator[tuple[AsyncMuster, Backend]]:
    """A client whose runs nobody executes; the test writes what a worker would."""
    backend = backend_over(queue=queue or RecordingQueue(), wakeups=ToldWakeups())
    async with AsyncMuster(manager=AsyncCampaignManager(backend)) as muster:
        yield muster, backend


async def claim(backend: Backend, run_id: str, owner: str = "w") -> int:
    """Let a worker take the run; returns the epoch."""
    claimed = await backend.journal.claim(run_id, owner)
    assert claimed is not None
    return claimed.run.epoch


async def suspend(backend: Backend, run_id: str, waits: Waits) -> None:
    """Let a worker begin the run and suspend it."""
    epoch = await claim(backend, run_id)
    end = RunEnd(state=RunState.WAITING, waits=waits)
    await backend.journal.commit(Commit(run_id=run_id, epoch=epoch, end=end))


def told(backend: Backend) -> list[tuple[str, str]]:
    assert isinstance(backend.wakeups, ToldWakeups)
    return backend.wakeups.told


async def child_of(backend: Backend, parent_id: str) -> str:
    new = NewRun(
        run_id=new_id(),
        flow="one",
        version=1,
        payload="{}",
        payload_sha256="x",
        source="child",
        parent_id=parent_id,
        root_id=parent_id,
    )
    return (await backend.journal.accept(new)).run_id


def test_a_signal_wakes_the_run_that_waits_for_it_and_sends_it() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        async with client(queue) as (muster, backend):
            run = await muster.enqueue("one", {"text": "x"})
            await suspend(backend, run.id, Waits(signals={"go": 0}))
            other = await run.signal("other", {"n": 1})
            assert (other.woken, other.number) == (False, 1)
            assert len(queue.sent) == 1
            signalled = await run.signal("go", {"ok": [True, "ä"]})
            assert (signalled.woken, signalled.number) == (True, 2)
            assert [hint.run_id for hint in queue.sent] == [run.id, run.id]
            row = await run.row()
            assert (row.state, row.sends) == (RunState.QUEUED, 1)
            kept = await backend.journal.signals(run.id)
            assert [json.loads(signal.data) for signal in kept] == [{"n": 1}, {"ok": [True, "ä"]}]

    asyncio.run(scenario())


def test_a_signal_to_a_running_run_is_told_to_its_owner() -> None:
    async def scenario() -> None:
        async with client() as (muster, backend):
            run = await muster.enqueue("one", {"text": "x"})
            await claim(backend, run.id, "w7")
            assert not (await run.signal("go")).woken
            assert ("w7", f"signal {run.id}") in told(backend)

    asyncio.run(scenario())


def test_a_signal_while_redis_is_away_is_kept_and_left_to_the_reconciler() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        async with client(queue) as (muster, backend):
            run = await muster.enqueue("one", {"text": "x"})
            await suspend(backend, run.id, Waits(signals={"go": 0}))
            queue.away = True
            assert (await run.signal("go")).woken
            unsent = await backend.journal.unsent(frozenset(), 3, 10)
            assert [hint.run_id for hint in unsent] == [run.id]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("", None, InvalidInput),
        ("n" * 201, None, InvalidInput),
        ("a\nb", None, InvalidInput),
        ("go", object(), InvalidInput),
        ("go", float("nan"), InvalidInput),
        ("go", "a\x00", InvalidInput),
        ("go", "x" * 300_000, TooLarge),
    ],
)
def test_a_signal_that_cannot_be_kept_is_refused(
    name: str, data: Any, error: type[Exception]
) -> None:
    async def scenario() -> None:
        async with client() as (muster, backend):
            run = await muster.enqueue("one", {"text": "x"})
            with pytest.raises(error):
                await run.signal(name, data)
            assert await backend.journal.signals(run.id) == []

    asyncio.run(scenario())


def test_a_signal_to_nobody_or_to_an_ended_run_is_refused() -> None:
    async def scenario() -> None:
        async with client() as (muster, _):
            run = await muster.enqueue("one", {"text": "x"})
            await run.cancel()
            with pytest.raises(RunEnded):
                await run.signal("go")
            with pytest.raises(UnknownRun):
                await (await muster.manager()).handle("nobody").signal("go")

    asyncio.run(scenario())


def test_a_cancelled_run_that_waits_is_sent_so_that_it_can_compensate() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        async with client(queue) as (muster, backend):
            run = await muster.enqueue("one", {"text": "x"})
            await suspend(backend, run.id, Waits(signals={"go": 0}))
            assert await run.cancel("enough") is RunState.QUEUED
            assert [hint.run_id for hint in queue.sent] == [run.id, run.id]

    asyncio.run(scenario())


def test_a_cancellation_reaches_the_owners_of_all_descendants() -> None:
    async def scenario() -> None:
        queue = RecordingQueue()
        async with client(queue) as (muster, backend):
            run = await muster.enqueue("one", {"text": "x"})
            await claim(backend, run.id, "w1")
            child = await child_of(backend, run.id)
            await claim(backend, child, "w2")
            grandchild = await child_of(backend, child)
            await suspend(backend, grandchild, Waits(signals={"go": 0}))
            unbegun = await child_of(backend, child)
            await run.cancel("enough")
            await backend.journal.wake(100)
            assert ("w1", "cancel") in told(backend)
            assert ("w2", "cancel") in told(backend)
            rows = {name: await backend.journal.run(name) for name in (child, grandchild, unbegun)}
            assert [row.cancel_reason for row in rows.values() if row] == ["enough"] * 3
            assert rows[unbegun].state is RunState.CANCELLED  # type: ignore[union-attr]
            assert grandchild in {hint.run_id for hint in queue.sent}

    asyncio.run(scenario())


def test_a_signal_reaches_a_flow_that_is_executed_in_process() -> None:
    assert waiting_flows.asking is not None

    async def scenario() -> None:
        async with await AsyncCampaignManager.in_process() as manager:
            ingesting = asyncio.create_task(
                manager.ingest_event({"flow": "asking-twice", "payload": {"text": "x"}})
            )
            async with AsyncMuster(manager=manager) as muster:
                while not (rows := await muster.runs(states=["running"])):
                    await asyncio.sleep(0.001)
                run = await muster.get(rows[0].run_id)
                await run.signal("answer", 1)
                await run.signal("answer", {"two": 2})
                envelope = await (await ingesting).result()
                assert envelope.records[0].data == {"first": 1, "second": {"two": 2}}

    asyncio.run(scenario())
