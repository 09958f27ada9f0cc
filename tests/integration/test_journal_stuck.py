from __future__ import annotations

import asyncio

import psycopg
import pytest
from sqlalchemy import create_engine, make_url

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


async def _opened(url: str) -> None:
    journal = journal_for(url)
    await journal.open()
    assert list(await journal.rescue(3)) == []
    await journal.close()
