"""A database of an earlier version, with runs in it, goes on to be used."""

import asyncio
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from envelope.ports.journal import Journal
from envelope.ports.journal_rows import RunFilter, RunState
from envelope.ports.journal_writes import Replay
from tests.conformance.journal.making import (
    Backend,
    Books,
    a_run,
    a_step,
    a_worker,
    claimed,
    ending,
    types,
    waiting,
    woken,
    write_of,
)
from tests.conformance.journal.making_effects import approved, concluded
from worker.journal import schema
from worker.journal.connect import writer_engine
from worker.journal.urls import database_url

FIRST, SECOND = "0001", "0002"
_RUN = """
INSERT INTO muster_runs (run_id, flow, version, state, tenant, idempotency_key, source, tags,
    priority, allow_delivery, payload_sha256, epoch, owner, losses, sends, events, positions,
    attempts, steps_done, created_at, available_at, started_at, finished_at, failure)
VALUES (:run_id, 'lead', 1, :state, 'default', :run_id, 'test', '{}', 0, false, 'a', :epoch,
    :owner, 0, 0, 1, 0, 0, 0, 1000.0, 1000.0, :started_at, :finished_at, :failure)
"""
_PAYLOAD = "INSERT INTO muster_payloads (run_id, payload) VALUES (:run_id, '{}')"
_EVENT = """
INSERT INTO muster_events (run_id, number, type, at, data)
VALUES (:run_id, 1, 'run.queued', 1000.0, '{}')
"""


_REPEAT = """
UPDATE muster_runs SET replay_of = :replay_of, replayed_as = :replayed_as WHERE run_id = :run_id
"""


@pytest.fixture
def old(database: Backend) -> Backend:
    """A database as the first version made it, with a run in every state that it knew."""
    engine = writer_engine(database_url(database.url))
    _make_tables(engine, FIRST)
    with engine.begin() as connection:
        for state in RunState:
            _insert(connection, state)
    engine.dispose()
    return database


@pytest.fixture
def repeated(database: Backend) -> Backend:
    """A database as the second version made it, with a run that was repeated twice over."""
    engine = writer_engine(database_url(database.url))
    _make_tables(engine, SECOND)
    with engine.begin() as connection:
        for state in RunState:
            _insert(connection, state)
        chain = [None, "failed", "dead", "succeeded", None]
        for before, run_id, after in zip(chain, chain[1:-1], chain[2:], strict=False):
            values = {"run_id": run_id, "replay_of": before, "replayed_as": after}
            connection.execute(text(_REPEAT), values)
    engine.dispose()
    return database


def _make_tables(engine: Engine, version: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        config.attributes["version_table"] = schema.VERSION_TABLE
        command.upgrade(config, version)


def _insert(connection: Connection, state: RunState) -> None:
    begun = state is not RunState.QUEUED
    ended = state not in {RunState.QUEUED, RunState.RUNNING, RunState.WAITING}
    values = {
        "run_id": state.value,
        "state": state.value,
        "epoch": int(begun),
        "owner": "gone" if state is RunState.RUNNING else None,
        "started_at": 1000.0 if begun else None,
        "finished_at": 2000.0 if ended else None,
        "failure": '{"code": "C", "message": "m"}' if ended else None,
    }
    for statement in (_RUN, _PAYLOAD, _EVENT):
        connection.execute(text(statement), values)


def test_runs_of_the_first_version_go_on(old: Backend) -> None:
    async def body(journal: Journal) -> None:
        await journal.beat(a_worker(), 60)
        assert [rescue.hint.run_id for rescue in await journal.rescue(3)] == ["running"]
        for run_id in ("queued", "running"):
            claim = await journal.claim(run_id, "w1")
            assert claim is not None
            assert (claim.run.waits, claim.run.spent_tokens, claim.signals) == (None, 0, [])
            commit = write_of(claim, steps=[a_step(tokens=3)], **waiting(signals={"go": 0}))
            await journal.commit(commit)
            assert (await journal.signal(run_id, "go", "1")).woken
            again = await journal.claim(run_id, "w1")
            assert again is not None
            await journal.commit(write_of(again, **ending()))
            assert (await types(journal, run_id))[-1] == "run.succeeded"
            assert await journal.spent(run_id) == (3, 0.0)
        assert await woken(journal) == []
        accepted = await journal.accept(a_run("new", key="queued", payload_sha256="a"))
        assert (accepted.run_id, accepted.created) == ("queued", False)

    old.using(body)


def test_failures_of_the_first_version_are_grouped(old: Backend) -> None:
    async def body(journal: Journal) -> None:
        groups = {group.state: group for group in await journal.failure_groups()}
        assert set(groups) == {RunState.FAILED, RunState.DEAD}
        group = groups[RunState.FAILED]
        assert (group.fingerprint, group.example, group.message) == ("", "failed", "m")
        assert (group.count, group.first_at, group.last_at) == (1, 2000.0, 2000.0)

    old.using(body)


def test_a_waiting_run_of_the_first_version_can_be_cancelled(old: Backend) -> None:
    async def body(journal: Journal) -> None:
        run = await journal.cancel("waiting", "why")
        assert run is not None
        assert run.state is RunState.QUEUED

    old.using(body)


def test_several_processes_may_upgrade_at_once(old: Backend) -> None:
    async def body() -> None:
        journals = [old.journal() for _ in range(4)]
        await asyncio.gather(*(journal.open() for journal in journals))
        assert (await journals[0].counts())["lead"]["queued"] == 1
        for journal in journals:
            await journal.close()

    asyncio.run(body())


def test_runs_of_the_second_version_know_the_first_of_their_chain(repeated: Backend) -> None:
    async def body(books: Books) -> None:
        origins = {run.run_id: run.origin_id for run in await books.runs(RunFilter())}
        chain = dict.fromkeys(["failed", "dead", "succeeded"], "failed")
        assert origins == {state.value: state.value for state in RunState} | chain
        again = await claimed(books, replay=Replay(run_id="succeeded"))
        assert again.run.origin_id == "failed"

    repeated.using(body)


def test_runs_of_the_second_version_use_the_ledger(repeated: Backend) -> None:
    async def body(books: Books) -> None:
        await books.beat(a_worker(), 60)
        await books.rescue(3)
        claim = await books.claim("running", "w1")
        assert claim is not None
        await approved(books, claim)
        sent = await concluded(books, claim, approval_role="approver")
        assert await books.effect("default", "k") == sent
        assert (await types(books, "running"))[-2:] == ["effect.intended", "effect.sent"]

    repeated.using(body)
