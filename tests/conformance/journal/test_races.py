"""Another process is in the middle of a transaction on the same rows."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from envelope.errors import Fenced
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Claim
from tests.conformance.journal.making import (
    Backend,
    a_run,
    a_step,
    accepted,
    claimed,
    lapse,
    types,
    until,
    write_of,
)
from worker.journal.accepting import Accept
from worker.journal.apply import Work, apply_batch
from worker.journal.connect import writer_engine
from worker.journal.losing import RescueRuns
from worker.journal.urls import database_url


@contextmanager
def under_way(database: Backend, work: Work) -> Iterator[Callable[[], None]]:
    """An operation of another process, applied and not yet committed; call to commit it."""
    engine = writer_engine(database_url(database.url))
    try:
        with engine.connect() as connection:
            apply_batch(connection, [work])
            yield connection.commit
    finally:
        engine.dispose()


async def waits(task: "asyncio.Task[object]") -> None:
    """Give the writer time to run into the other's lock; it must not get past it."""
    await asyncio.wait([task], timeout=0.3)
    assert not task.done()


def test_a_stale_write_is_refused_though_its_run_was_lost_only_just_now(
    database: Backend,
) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        run_id = claim.run.run_id
        await lapse(journal)
        with under_way(database, RescueRuns([run_id], 3)) as commit:
            # Without an event, so that nothing but the fence itself can refuse it.
            late = asyncio.create_task(_commit_step(journal, claim))
            await waits(late)
            commit()
            with pytest.raises(Fenced, match="queued"):
                await late
        assert list(await journal.steps(run_id)) == []
        run = await journal.run(run_id)
        assert run is not None
        assert (run.epoch, run.losses, run.owner) == (2, 1, None)

    database.using(body)


def test_a_key_that_another_process_is_just_entering_is_its_run(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        with under_way(database, Accept(a_run("theirs", key="k"))) as commit:
            ours = asyncio.create_task(_accept(journal))
            await waits(ours)
            commit()
            assert await ours == ("theirs", False)
        assert await types(journal, "theirs") == ["run.queued"]
        assert await journal.counts() == {"lead": {"queued": 1}}

    database.using(body)


def test_a_key_that_another_process_gives_up_is_ours(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        with under_way(database, Accept(a_run("theirs", key="k"))):
            ours = asyncio.create_task(_accept(journal))
            await waits(ours)
        assert await ours == ("ours", True)

    database.using(body)


def test_readers_do_not_wait_for_a_writer(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        run_id = await accepted(journal)
        with under_way(database, Accept(a_run("theirs"))) as commit:
            assert await journal.run("theirs") is None
            assert await journal.run(run_id) is not None
            commit()

            async def is_there() -> bool:
                return await journal.run("theirs") is not None

            await until(is_there)

    database.using(body)


async def _accept(journal: Journal) -> object:
    found = await journal.accept(a_run("ours", key="k"))
    return (found.run_id, found.created)


async def _commit_step(journal: Journal, claim: Claim) -> object:
    return await journal.commit(write_of(claim, steps=[a_step()]))
