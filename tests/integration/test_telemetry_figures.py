"""What a scrape reads of the journal is right, and finished runs cost it nothing."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import Connection, Engine, event, text

from envelope.canonical import sha256_hex
from envelope.ids import new_id
from envelope.ports.journal_rows import RunState
from envelope.ports.journal_writes import (
    Commit,
    NewEvent,
    NewRun,
    QuarantinedMessage,
    RunEnd,
    WorkerInfo,
)
from envelope.ports.permits import PermitAsk
from worker.coordination.permits.count import PermitCount, count_permits
from worker.coordination.permits.redis_permits import RedisPermits
from worker.journal.connect import writer_engine
from worker.journal.figures import read_figures
from worker.journal.sql import SqlJournal
from worker.journal.tables import runs
from worker.journal.urls import database_url
from worker.telemetry.bounded import MOST_FLOWS
from worker.telemetry.cluster import JournalFigures

FINISHED = 50_000


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.sqlite3"
    return str(request.getfixturevalue("database"))


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    asyncio.run(_made(url))
    engine = writer_engine(database_url(url))
    yield engine
    engine.dispose()


async def _made(url: str) -> None:
    journal = SqlJournal(url)
    await journal.open()
    await journal.close()


def new_run(flow: str, **more: Any) -> NewRun:
    facts = {"run_id": new_id(), "flow": flow, "version": 1, "payload": "{}", "source": "test"}
    return NewRun(**{**facts, "payload_sha256": sha256_hex("{}"), **more})


async def _filled(url: str) -> None:
    journal = SqlJournal(url)
    await journal.open()
    worker = WorkerInfo(worker_id="w", hostname="h", pid=1, details="{}")
    await journal.beat(worker, 30.0)
    await journal.beat(WorkerInfo(worker_id="gone", hostname="h", pid=2, details="{}"), 0.001)
    for _ in range(3):
        await journal.accept(new_run("one"))
    await journal.accept(new_run("one", delay_seconds=500.0))
    for state in (None, RunState.DEAD, RunState.SUCCEEDED, RunState.FAILED):
        run = new_run("two")
        await journal.accept(run)
        claim = await journal.claim(run.run_id, "w")
        assert claim is not None
        if state is not None:
            told = (NewEvent(type=f"run.{state}"),)
            end = RunEnd(state=state)
            commit = Commit(run_id=run.run_id, epoch=claim.run.epoch, events=told, end=end)
            await journal.commit(commit)
    message = QuarantinedMessage(queue="q", reason="r", sha256="s", size=1, excerpt="e")
    await journal.quarantine(message)
    await journal.close()


def test_figures_are_those_of_the_journal(url: str) -> None:
    asyncio.run(_filled(url))
    told = JournalFigures(url, lambda: ["one", "two", "three"])()
    counted = {name: count for name, count in told.runs.items() if count}
    assert counted == {("one", "queued"): 4, ("two", "running"): 1}
    assert told.dead_letters == {("two", "dead"): 1, ("two", "failed"): 1}
    assert told.runs["three", "queued"] == 0
    assert set(told.oldest_due) == {"one"}
    assert 0 <= told.oldest_due["one"] < 60
    assert told.workers == {"alive": 1, "lapsed": 1}
    assert told.quarantined == 1


def test_no_flow_is_no_error(url: str) -> None:
    asyncio.run(_made(url))
    assert JournalFigures(url, list)().runs == {}


def test_ten_thousand_flows_do_not_silence_the_journal(url: str) -> None:
    asyncio.run(_filled(url))
    names = ["one", "two", *(f"flow-{number:05d}" for number in range(10_000))]
    told = JournalFigures(url, lambda: names)()
    assert told.runs["one", "queued"] == 4
    assert {flow for flow, _ in told.runs} == set(names[:MOST_FLOWS])
    assert told.dead_letters == {("two", "dead"): 1, ("two", "failed"): 1}


def fill(connection: Connection, count: int) -> None:
    columns = {
        column.name: 0 if column.type.python_type in {int, float, bool} else "x"
        for column in runs.columns
        if not column.nullable
    }
    rows = [
        {
            **columns,
            "run_id": f"finished-{number:07d}",
            "flow": "one",
            "state": "succeeded",
            "created_at": float(number),
            "finished_at": 1.0,
        }
        for number in range(count)
    ]
    connection.execute(runs.insert(), rows)


def plans(engine: Engine, read: Callable[[Connection], object]) -> list[str]:
    """How the database finds the rows of each statement."""
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT") and "muster_" in statement:
            statements.append((statement, parameters))

    with engine.connect() as connection:
        event.listen(engine, "before_cursor_execute", note)
        read(connection)
        event.remove(engine, "before_cursor_execute", note)
        explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
        return [
            "\n".join(str(row) for row in connection.exec_driver_sql(explain + statement, values))
            for statement, values in statements
        ]


def test_finished_runs_cost_a_scrape_nothing(
    url: str, engine: Engine, figure: Callable[[str], None]
) -> None:
    with engine.begin() as connection:
        fill(connection, FINISHED)
        connection.execute(text("ANALYZE"))
    read = JournalFigures(url, lambda: ["one", "two"])
    read()
    begun = time.monotonic()
    told = read()
    figure(f"{engine.dialect.name}: {FINISHED} finished runs, {time.monotonic() - begun:.4f} s")
    assert not any(told.runs.values())
    found = plans(engine, lambda connection: read_figures(connection, ["one", "two"]))
    assert found
    for plan in found:
        whole = re.search(r"SCAN muster_runs\b(?! USING)|Seq Scan on muster_runs", plan)
        assert whole is None, f"reads the whole table:\n{plan}"


def test_permits_are_counted_without_naming_who(redis_url: str) -> None:
    async def scenario() -> None:
        async def living() -> list[str]:
            return ["w"]

        permits = RedisPermits(redis_url, "w", living=living, log=structlog.get_logger("t"))
        waiting = []
        for number in range(5):
            ask = PermitAsk(agent="tel:odd agent", run_id=f"r{number}", step="s", limit=2)
            waiting.append(asyncio.create_task(permits.acquire(ask)))
        while sum(task.done() for task in waiting) < 2:
            await asyncio.sleep(0.01)
        counted = await asyncio.to_thread(count_permits, redis_url, 5.0)
        assert PermitCount("tel:odd agent", 2, 2, 3) in counted
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await permits.close()

    asyncio.run(scenario())
