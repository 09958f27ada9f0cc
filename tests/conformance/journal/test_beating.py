"""What a heartbeat learns besides the runs that shall be cancelled."""

import asyncio

from sqlalchemy import text

from envelope.ports.journal import Journal
from envelope.ports.journal_rows import RunState, StepState
from envelope.ports.journal_writes import StepCommit
from tests.conformance.journal.making import (
    Backend,
    a_step,
    a_worker,
    ending,
    lapse,
    queued_step,
    write_of,
)
from worker.journal.connect import writer_engine
from worker.journal.losing import PURGE_AFTER
from worker.journal.memory import MemoryJournal
from worker.journal.urls import database_url


def test_a_heartbeat_tells_which_steps_are_executed_in_vain(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        await journal.beat(a_worker("e1"), 60)
        cancelled, done, active = [await queued_step(journal) for _ in range(3)]
        undo = await queued_step(journal, kind="undo")
        for claim in (cancelled, done, active, undo):
            assert await journal.claim_step(claim.run.run_id, "draft", "e1") is not None
        inline = a_step("inline", StepState.RUNNING, executor="e1")
        await journal.commit(write_of(cancelled, steps=[inline]))
        assert (await journal.beat(a_worker("e1"), 60)).steps == ()
        await journal.cancel(cancelled.run.run_id, "why")
        await journal.cancel(undo.run.run_id, "why")
        await journal.commit(write_of(done, **ending(RunState.FAILED)))
        vain = sorted((claim.run.run_id, "draft") for claim in (cancelled, done))
        assert sorted((await journal.beat(a_worker("e1"), 60)).steps) == vain
        assert (await journal.beat(a_worker("w1"), 60)).steps == ()
        await journal.commit_step(
            StepCommit(
                run_id=cancelled.run.run_id,
                step="draft",
                attempt=1,
                executor="e1",
                state=StepState.FAILED,
            )
        )
        beat = await journal.beat(a_worker("e1"), 60)
        assert beat.steps == ((done.run.run_id, "draft"),)

    backend.using(body)


def test_a_heartbeat_tells_whether_the_lease_had_lapsed(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        assert not (await journal.beat(a_worker("w1"), 60)).lapsed
        assert not (await journal.beat(a_worker("w1"), 60)).lapsed
        await lapse(journal, "w1")
        assert (await journal.beat(a_worker("w1"), 60)).lapsed
        assert not (await journal.beat(a_worker("w1"), 60)).lapsed
        await journal.retire("w1")
        assert not (await journal.beat(a_worker("w1"), 60)).lapsed

    backend.using(body)


def test_a_lease_that_others_purged_had_lapsed(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        await journal.beat(a_worker("w1"), 60)
        engine = writer_engine(database_url(database.url))
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM muster_workers"))
        engine.dispose()
        assert (await journal.beat(a_worker("w1"), 60)).lapsed
        assert not (await journal.beat(a_worker("w1"), 60)).lapsed
        assert not (await journal.beat(a_worker("w2"), 60)).lapsed

    database.using(body)


def test_a_lease_that_was_purged_in_memory_had_lapsed() -> None:
    times = [1000.0]
    memory = MemoryJournal(clock=lambda: times[-1])

    async def body() -> None:
        await memory.beat(a_worker("w1"), 10)
        times.append(1010.0 + PURGE_AFTER + 1)
        await memory.rescue(3)
        assert list(await memory.workers()) == []
        assert (await memory.beat(a_worker("w1"), 10)).lapsed

    asyncio.run(body())
