from __future__ import annotations

import asyncio

import psycopg
import pytest
from sqlalchemy import create_engine, make_url

from envelope.ports.journal_writes import WorkerInfo
from tests.services.waiting import wait_until
from worker.journal import stuck
from worker.journal.open import journal_for


def test_a_stopped_process_s_old_transaction_is_ended(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stuck, "STUCK_SECONDS", 0.2)
    engine = create_engine(make_url(database).set(drivername="postgresql+psycopg"))
    plain = database.replace("postgresql+psycopg", "postgresql")
    asyncio.run(_opened(database))
    with (
        psycopg.connect(plain, application_name="muster-journal") as zombie,
        psycopg.connect(plain, application_name="somebody-else") as other,
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as rescuer,
    ):
        zombie.execute("SELECT 1")
        other.execute("SELECT 1")
        wait_until(lambda: stuck.end_stuck_sessions(rescuer) == 1, 10, "the session is ended")
        with pytest.raises(psycopg.OperationalError):
            zombie.execute("SELECT 1")
        assert other.execute("SELECT 1").fetchone() == (1,)
    engine.dispose()


def test_a_lapsed_worker_s_transaction_is_ended_at_once(database: str) -> None:
    engine = create_engine(make_url(database).set(drivername="postgresql+psycopg"))
    plain = database.replace("postgresql+psycopg", "postgresql")
    asyncio.run(_opened(database, dead="zombie", living="worker"))
    with (
        psycopg.connect(plain, application_name=stuck.session_name("zombie")) as zombie,
        psycopg.connect(plain, application_name=stuck.session_name("worker")) as worker,
        psycopg.connect(plain, application_name=stuck.session_name(None)) as client,
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as rescuer,
    ):
        for session in (zombie, worker, client):
            session.execute("SELECT 1")
        wait_until(lambda: stuck.end_stuck_sessions(rescuer) == 1, 10, "the session is ended")
        with pytest.raises(psycopg.OperationalError):
            zombie.execute("SELECT 1")
        for session in (worker, client):
            assert session.execute("SELECT 1").fetchone() == (1,)
    engine.dispose()


async def _opened(url: str, dead: str | None = None, living: str | None = None) -> None:
    journal = journal_for(url)
    await journal.open()
    for worker, lease in ((dead, 0.001), (living, 60.0)):
        if worker is not None:
            await journal.beat(WorkerInfo(worker_id=worker, hostname="test", pid=1), lease)
    assert list(await journal.rescue(3)) == []
    await journal.close()
