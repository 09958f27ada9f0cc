"""Another process is in the middle of a transaction on the same rows."""

import asyncio

import pytest

from envelope.errors import Fenced
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Claim, RunState
from tests.conformance.journal.making import (
    Backend,
    a_run,
    a_step,
    accepted,
    claimed,
    ended,
    ending,
    lapse,
    state_of,
    suspended,
    types,
    until,
    waiting,
    woken,
    write_of,
)
from tests.conformance.journal.making_races import under_way, waits_for_lock
from worker.journal.accepting import Accept
from worker.journal.committing import WriteRun
from worker.journal.losing import RescueRuns
from worker.journal.waking import WakeRuns


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
            await waits_for_lock(late)
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
            await waits_for_lock(ours)
            commit()
            assert await ours == ("theirs", False)
        assert await types(journal, "theirs") == ["run.queued"]
        assert await journal.counts() == {"lead": {"queued": 1}}

    database.using(body)


def test_a_key_that_another_process_gives_up_is_ours(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        with under_way(database, Accept(a_run("theirs", key="k"))):
            ours = asyncio.create_task(_accept(journal))
            await waits_for_lock(ours)
        assert await ours == ("ours", True)

    database.using(body)


def test_a_child_that_is_just_ending_does_not_leave_its_parent_asleep(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        child, parent = await claimed(journal), await claimed(journal)
        waits = waiting(children=[child.run.run_id])
        with under_way(database, WriteRun(write_of(child, **ending()))) as commit:
            ours = asyncio.create_task(journal.commit(write_of(parent, **waits)))
            await waits_for_lock(ours)
            commit()
            await ours
        assert await state_of(journal, parent.run.run_id) is RunState.QUEUED

    database.using(body)


def test_a_parent_that_is_just_going_to_sleep_is_woken_by_its_child(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        child, parent = await claimed(journal), await claimed(journal)
        waits = waiting(children=[child.run.run_id])
        with under_way(database, WriteRun(write_of(parent, **waits))) as commit:
            ours = asyncio.create_task(journal.commit(write_of(child, **ending())))
            await waits_for_lock(ours)
            commit()
            await ours
        assert await woken(journal) == [parent.run.run_id]

    database.using(body)


def test_a_signal_to_a_run_that_is_just_going_to_sleep_wakes_it(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        waits = waiting(signals={"go": 0})
        with under_way(database, WriteRun(write_of(claim, **waits))) as commit:
            ours = asyncio.create_task(journal.signal(claim.run.run_id, "go", "1"))
            await waits_for_lock(ours)
            commit()
            assert (await ours).woken

    database.using(body)


def test_a_singleton_key_that_another_process_is_just_taking_is_taken(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        with under_way(database, Accept(a_run("theirs", singleton="k"))) as commit:
            ours = asyncio.create_task(journal.accept(a_run("ours", singleton="k")))
            await waits_for_lock(ours)
            commit()
            assert (await ours).behind == "theirs"

    database.using(body)


def test_a_free_singleton_key_is_taken_by_one_process(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        await ended(journal, singleton="k")
        with under_way(database, Accept(a_run("theirs", singleton="k"))) as commit:
            ours = asyncio.create_task(journal.accept(a_run("ours", singleton="k")))
            await waits_for_lock(ours)
            commit()
            assert (await ours).behind == "theirs"

    database.using(body)


def test_the_next_in_line_is_not_overtaken_while_it_is_being_woken(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal, singleton="k")
        second = await accepted(journal, singleton="k")
        await journal.commit(write_of(claim, **ending()))
        theirs = WakeRuns([second], [claim.run.run_id], ["k"])
        with under_way(database, theirs) as commit:
            ours = asyncio.create_task(journal.accept(a_run("ours", singleton="k")))
            await waits_for_lock(ours)
            commit()
            assert (await ours).behind == second
        assert await woken(journal) == []

    database.using(body)


def test_a_singleton_key_that_another_process_gives_up_is_free(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        with under_way(database, Accept(a_run("theirs", singleton="k"))):
            ours = asyncio.create_task(journal.accept(a_run("ours", singleton="k")))
            await waits_for_lock(ours)
        assert (await ours).behind is None
        assert await journal.run("theirs") is None

    database.using(body)


def test_a_run_that_stands_behind_one_that_is_just_ending_is_woken(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal, singleton="k")
        with under_way(database, WriteRun(write_of(claim, **ending()))) as commit:
            ours = asyncio.create_task(journal.accept(a_run("ours", singleton="k")))
            await asyncio.wait([ours], timeout=0.3)  # SQLite has one lock, Postgres need not wait
            commit()
            behind = (await ours).behind
        assert behind in {None, claim.run.run_id}
        assert await woken(journal) == (["ours"] if behind else [])
        assert await state_of(journal, "ours") is RunState.QUEUED

    database.using(body)


def test_one_who_is_just_joining_the_line_is_not_forgotten_at_the_holders_end(
    database: Backend,
) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal, singleton="k")
        with under_way(database, Accept(a_run("theirs", singleton="k"))) as commit:
            ours = asyncio.create_task(journal.commit(write_of(claim, **ending())))
            await asyncio.wait([ours], timeout=0.3)  # SQLite has one lock, Postgres need not wait
            waking = asyncio.create_task(journal.wake(10))
            await asyncio.wait([waking], timeout=0.3)
            commit()
            await ours
        hints = [*await waking, *await journal.wake(10)]
        assert [hint.run_id for hint in hints] == ["theirs"]

    database.using(body)


def test_a_run_is_woken_by_one_process(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        child = await claimed(journal)
        parent = await suspended(journal, children=[child.run.run_id])
        await journal.commit(write_of(child, **ending()))
        theirs = WakeRuns([parent.run.run_id], [child.run.run_id], [])
        with under_way(database, theirs) as commit:
            ours = asyncio.create_task(journal.wake(10))
            await waits_for_lock(ours)
            commit()
            assert list(await ours) == []
        assert (await types(journal, parent.run.run_id)).count("run.woken") == 1

    database.using(body)


def test_a_child_that_is_just_accepted_does_not_escape_the_cancellation(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        root = (await claimed(journal)).run.run_id
        with under_way(database, Accept(a_run("child", parent_id=root))) as commit:
            ours = asyncio.create_task(journal.cancel(root, "why"))
            await waits_for_lock(ours)
            commit()
            await ours
        assert await state_of(journal, "child") is RunState.CANCELLED

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
