"""One journal, several threads with event loops of their own; and what a batch costs."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import event

from envelope.ports.journal import Journal
from tests.conformance.journal.making import (
    Backend,
    a_step,
    a_worker,
    accepted,
    an_event,
    claimed,
    types,
    write_of,
)
from worker.journal.sql import SqlJournal


def test_loops_of_several_threads_share_a_journal(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        ids = [await accepted(journal) for _ in range(30)]
        for n in range(6):
            await journal.beat(a_worker(f"w{n}"), 60)

        async def claim_all(worker: str) -> list[str]:
            claims = await asyncio.gather(*(journal.claim(run_id, worker) for run_id in ids))
            mine = [claim for claim in claims if claim is not None]
            for claim in mine:
                await journal.commit(write_of(claim, events=[an_event(worker)]))
            return [claim.run.run_id for claim in mine]

        def in_thread(worker: str) -> list[str]:
            return asyncio.run(claim_all(worker))

        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(6) as threads:
            parts = await asyncio.gather(
                *(loop.run_in_executor(threads, in_thread, f"w{n}") for n in range(6))
            )
        assert sorted(run_id for part in parts for run_id in part) == sorted(ids)
        for run_id in ids:
            assert len(await types(journal, run_id)) == 3

    backend.using(body)


def test_a_caller_that_went_away_disturbs_nobody(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        claim = await claimed(journal)
        commits = [write_of(claim, events=[an_event(f"e{n}")]) for n in range(20)]
        tasks = [asyncio.ensure_future(journal.commit(commit)) for commit in commits]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[1::2] == list(range(4, 24, 2))
        assert await journal.commit(write_of(claim)) == 22

    backend.using(body)


def test_commits_that_are_pending_together_share_a_transaction(database: Backend) -> None:
    async def body(journal: Journal) -> None:
        assert isinstance(journal, SqlJournal)
        claims = [await claimed(journal) for _ in range(100)]
        transactions: list[object] = []
        event.listen(journal._engines[0], "commit", transactions.append)

        async def one(n: int) -> None:
            for step in range(5):
                commit = write_of(claims[n], steps=[a_step(f"s{step}")], events=[an_event()])
                await journal.commit(commit)

        await asyncio.gather(*map(one, range(100)))
        # 500 commits; a wave of 100 is at worst split where the first of it is already written.
        assert 5 <= len(transactions) <= 50

    database.using(body)


def test_an_empty_batch_of_names_asks_for_nothing(backend: Backend) -> None:
    async def body(journal: Journal) -> None:
        assert list(await journal.rescue_steps([], 3)) == []
        assert list(await journal.settled_steps([])) == []
        await journal.mark_sent([])
        assert await journal.claim("", "w") is None

    backend.using(body)
