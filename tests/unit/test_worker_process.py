"""The worker as a child process: its environment, its start, its end."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from control.worker_process import WorkerDied, WorkerProcess, environment_of
from worker.journal.memory import MemoryJournal
from worker.settings import Settings


def test_a_child_is_told_our_settings_and_no_others() -> None:
    settings = Settings.load(
        redis_url="redis://a/1",
        database_url=None,
        include=("a.b", "c"),
        openai_api_key="sk-x",
        openai_base_url=None,
    )
    inherited = {
        "PATH": "/bin",
        "REDIS_URL": "redis://other/0",
        "DATABASE_URL": "postgresql://other/x",
        "OPENAI_BASE_URL": "http://other",
        "MUSTER_LOG_LEVEL": "DEBUG",
        "MUSTER_UNKNOWN": "x",
    }
    told = environment_of(settings, inherited)
    assert told["PATH"] == "/bin"
    assert told["MUSTER_REDIS_URL"] == "redis://a/1"
    assert told["MUSTER_INCLUDE"] == "a.b,c"
    assert told["MUSTER_OPENAI_API_KEY"] == "sk-x"
    for name in ("REDIS_URL", "DATABASE_URL", "OPENAI_BASE_URL", "MUSTER_DATABASE_URL"):
        assert name not in told
    assert "MUSTER_UNKNOWN" not in told


def test_a_worker_that_does_not_start_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "worker.log"
    log.parent.mkdir()
    log.write_text("from the time before")

    async def scenario() -> None:
        broken = {"PATH": os.environ["PATH"], "MUSTER_LEASE_SECONDS": "soon"}
        worker = WorkerProcess(broken, folder=tmp_path, log=log)
        await worker.start()
        with pytest.raises(WorkerDied, match="MUSTER_LEASE_SECONDS") as caught:
            await worker.until_ready(MemoryJournal())
        assert str(log) in str(caught.value)
        assert worker.ended
        await worker.stop()

    asyncio.run(scenario())
    assert log.with_name("worker.log.1").read_text() == "from the time before"


def test_a_stop_that_is_cancelled_still_ends_the_process(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = WorkerProcess(os.environ, folder=tmp_path, log=tmp_path / "worker.log")
        await worker.start("--version")
        stopping = asyncio.create_task(worker.stop())
        await asyncio.sleep(0)
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping
        assert worker.ended

    asyncio.run(scenario())
