"""The database goes away and comes back."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from envelope.errors import JournalUnavailable
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import RunFilter
from envelope.ports.journal_writes import Commit
from tests.conformance.journal.commit_cutter import CommitCutter
from tests.conformance.journal.making import (
    Backend,
    a_run,
    a_step,
    a_worker,
    an_event,
    claimed,
    types,
    until,
    write_of,
)
from tests.conformance.postgres_server import PostgresServer
from worker.journal.open import journal_for


@pytest.fixture
def postgres(own_postgres: PostgresServer, new_postgres_database: Callable[[], str]) -> Backend:
    assert own_postgres.port
    return Backend("postgres", new_postgres_database())


def test_work_goes_on_after_a_restart_of_the_database(
    postgres: Backend, own_postgres: PostgresServer
) -> None:
    async def body(journal: Journal) -> None:
        claims = [await claimed(journal) for _ in range(5)]
        for _ in range(2):
            work = [
                asyncio.ensure_future(journal.commit(write_of(claim, events=[an_event(f"e{n}")])))
                for n in range(20)
                for claim in claims
            ]
            await asyncio.to_thread(own_postgres.stop, "immediate")
            late = asyncio.ensure_future(journal.commit(write_of(claims[0])))
            read = asyncio.ensure_future(journal.runs(RunFilter()))
            await asyncio.to_thread(own_postgres.start)
            await asyncio.gather(*work)
            await late
            assert len(await read) == 5
        for claim in claims:
            kinds = (await types(journal, claim.run.run_id))[2:]
            assert kinds == [f"e{n}" for n in range(20)] * 2

    async def run() -> None:
        async with postgres.opened(patience=60) as journal:
            await body(journal)

    asyncio.run(run())


def test_when_the_database_stays_away_callers_are_told_and_submissions_kept(
    postgres: Backend, own_postgres: PostgresServer
) -> None:
    async def run() -> None:
        async with postgres.opened(patience=0.2) as journal:
            claim = await claimed(journal)
            await asyncio.to_thread(own_postgres.stop)
            try:
                journal.submit(write_of(claim, events=[an_event("kept 1")]))
                for call in (
                    journal.commit(write_of(claim, events=[an_event("refused")])),
                    journal.accept(a_run()),
                    journal.beat(a_worker(), 60),
                    journal.claim("x", "w1"),
                    journal.run("x"),
                    journal.unsent(frozenset(), 1, 1),
                    journal.rescue(3),
                ):
                    with pytest.raises(JournalUnavailable, match=str(own_postgres.port)):
                        await call
                journal.submit(write_of(claim, events=[an_event("kept 2")]))
            finally:
                await asyncio.to_thread(own_postgres.start)
            commit = write_of(claim, events=[an_event("after")])

            async def is_back() -> bool:
                try:
                    await journal.commit(commit)
                except JournalUnavailable:
                    return False
                return True

            await until(is_back)
            kinds = (await types(journal, claim.run.run_id))[2:]
            assert kinds == ["kept 1", "kept 2", "after"]

    asyncio.run(run())


@pytest.mark.parametrize("delivered", [True, False])
def test_a_commit_whose_answer_was_lost_is_written_once(
    postgres: Backend, own_postgres: PostgresServer, delivered: bool
) -> None:
    cutter = CommitCutter(own_postgres.port)
    through = Backend("postgres", postgres.url.replace(str(own_postgres.port), str(cutter.port)))

    async def run() -> None:
        async with through.opened(patience=60) as journal:
            claim = await claimed(journal)
            cutter.arm(delivered=delivered)
            event = an_event("once")
            assert await journal.commit(write_of(claim, steps=[a_step()], events=[event])) == 3
            assert cutter.cuts == 1
            cutter.arm(delivered=delivered)
            accepted = await journal.accept(a_run(key="k"))
            assert accepted.created
            assert cutter.cuts == 2
            assert (await types(journal, claim.run.run_id))[2:] == ["once"]

    try:
        asyncio.run(run())
    finally:
        cutter.close()


def test_a_commit_that_a_crash_lost_is_not_taken_for_one_that_got_its_number(
    postgres: Backend, own_postgres: PostgresServer
) -> None:
    cutter = CommitCutter(own_postgres.port)
    through = Backend("postgres", postgres.url.replace(str(own_postgres.port), str(cutter.port)))
    numbers: list[int] = []

    def crash() -> None:
        """Lose the transaction under way with its number, then give that to others."""
        numbers.append(_next_transaction(postgres.url))
        own_postgres.stop("immediate")
        own_postgres.start()
        numbers.append(_next_transaction(postgres.url))
        while _next_transaction(postgres.url) <= numbers[0]:
            _commit_something(postgres.url)

    async def run() -> None:
        async with through.opened(patience=60) as journal:
            claim = await claimed(journal)
            cutter.arm(delivered=False, before=crash)
            event = an_event("once")
            assert await journal.commit(write_of(claim, steps=[a_step()], events=[event])) == 3
            assert cutter.cuts == 1
            assert (await types(journal, claim.run.run_id))[2:] == ["once"]

    _flush_seldom(own_postgres)
    try:
        asyncio.run(run())
    finally:
        cutter.close()
    assert numbers[1] <= numbers[0], "the number was not given twice: the trial proved nothing"


def _flush_seldom(server: PostgresServer) -> None:
    """Let nothing reach the disk but commits."""
    _say(server.url("postgres"), "ALTER SYSTEM SET wal_writer_delay = '10s'")
    server.stop()
    server.start()


def _next_transaction(url: str) -> int:
    """The number of the only transaction under way, or else of the next one."""
    return int(_say(url, "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"))


def _commit_something(url: str) -> None:
    _say(url, "CREATE TABLE IF NOT EXISTS others (number integer)")
    _say(url, "INSERT INTO others VALUES (1)")


def _say(url: str, statement: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        said = connection.execute(statement)
        row = said.fetchone() if said.description else None
        return row[0] if row else None


def test_a_locked_sqlite_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    backend = Backend("sqlite", f"sqlite:///{path}")

    async def run() -> None:
        async with backend.opened(patience=0.1) as journal:
            claim = await claimed(journal)
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalUnavailable, match="locked"):
                await journal.commit(write_of(claim, events=[an_event("refused")]))
            assert await journal.run(claim.run.run_id) is not None
            waiting = asyncio.ensure_future(
                journal.commit(write_of(claim, events=[an_event("waited")]))
            )
            await asyncio.sleep(0)
            other.execute("ROLLBACK")
            other.close()
            assert await waiting == 3

    asyncio.run(run())


def test_a_database_that_is_not_there_is_told_at_once_without_the_password() -> None:
    async def run() -> None:
        journal = journal_for("postgresql://muster:s3cr3t-word@127.0.0.1:1/campaigns")
        with pytest.raises(JournalUnavailable) as caught:
            await journal.open()
        await journal.close()
        for word in ("127.0.0.1:1", "campaigns", "MUSTER_DATABASE_URL"):
            assert word in str(caught.value)
        assert "s3cr3t" not in str(caught.value)

    asyncio.run(run())


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    async def run() -> None:
        journal = journal_for(f"sqlite:///{tmp_path / 'file' / 'journal.db'}")
        with pytest.raises(JournalUnavailable, match=r"journal\.db"):
            await journal.open()
        await journal.close()

    asyncio.run(run())


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"no database at all\n" * 100)

    async def run() -> None:
        journal = journal_for(f"sqlite:///{path}")
        with pytest.raises(JournalUnavailable, match="not a database"):
            await journal.open()
        await journal.close()

    asyncio.run(run())


def test_a_journal_that_is_not_open_says_so(database: Backend) -> None:
    async def run() -> None:
        journal = database.journal()
        commit = Commit(run_id="r", epoch=1)
        for _ in range(2):
            with pytest.raises(JournalUnavailable, match="not open"):
                await journal.commit(commit)
            with pytest.raises(JournalUnavailable, match="not open"):
                await journal.run("r")
            with pytest.raises(JournalUnavailable, match="not open"):
                journal.submit(commit)
            await journal.open()
            await journal.open()
            assert await journal.run("r") is None
            await journal.close()
            await journal.close()

    asyncio.run(run())
