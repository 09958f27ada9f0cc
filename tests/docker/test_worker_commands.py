"""The commands that containers are checked and prepared with. They need no engine."""

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from envelope.ports.journal_writes import WorkerInfo
from worker.journal.open import journal_for
from worker.journal.schema import head


def start(module: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module],
        env=os.environ | {"MUSTER_DATABASE_URL": url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(module: str, url: str) -> tuple[int, str]:
    process = start(module, url)
    out, error = process.communicate(timeout=60)
    return process.returncode, out + error


def beat(url: str, hostname: str, seconds: float) -> None:
    async def once() -> None:
        journal = journal_for(url)
        await journal.open()
        info = WorkerInfo(worker_id=f"{hostname}-1", hostname=hostname, pid=1, details="{}")
        await journal.beat(info, seconds)
        await journal.close()

    asyncio.run(once())


@pytest.fixture
def url(tmp_path: Path) -> str:
    made = f"sqlite:///{tmp_path}/journal.sqlite3"
    assert said("worker.migrate", made)[0] == 0
    return made


def test_a_host_without_a_worker_is_not_healthy(url: str) -> None:
    beat(url, "another-host", 60)
    code, told = said("worker.health", url)
    assert code == 1
    assert f"No worker of {socket.gethostname()} keeps a lease" in told


def test_a_worker_of_this_host_that_beats_is_healthy(url: str) -> None:
    beat(url, socket.gethostname(), 60)
    code, told = said("worker.health", url)
    assert code == 0
    assert "s of its lease left" in told


def test_a_worker_whose_lease_has_lapsed_is_not_healthy(url: str) -> None:
    beat(url, socket.gethostname(), -1)
    assert said("worker.health", url)[0] == 1


def test_the_check_makes_no_tables(tmp_path: Path) -> None:
    code, told = said("worker.health", f"sqlite:///{tmp_path}/empty.sqlite3")
    assert code == 1
    assert "cannot be used" in told or "does not answer" in told


@pytest.mark.parametrize("module", ["worker.health", "worker.migrate"])
def test_a_database_that_is_away_is_named_without_its_password(module: str) -> None:
    code, told = said(module, "postgresql://muster:hidden-word@127.0.0.1:1/muster")
    assert code == 1
    assert "does not answer" in told
    assert "hidden-word" not in told
    assert "Traceback" not in told


def test_two_may_migrate_at_once(database: str) -> None:
    both = [start("worker.migrate", database) for _ in range(2)]
    for process in both:
        out, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
        assert f"is at version {head()}" in out
