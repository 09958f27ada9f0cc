"""The tables: what the migrations make of them, and how the statements use their indexes."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine, event, text

from envelope.approval import ApprovalState
from envelope.effect import EffectState
from envelope.ports.journal_rows import (
    AgentLimit,
    RunFilter,
    RunState,
    StepState,
    Waits,
)
from envelope.ports.journal_writes import (
    Commit,
    NewEvent,
    NewRun,
    QuarantinedMessage,
    Replay,
    RunEnd,
    StepCommit,
    StepWrite,
    WorkerInfo,
)
from envelope.ports.ledger import (
    ApprovalFilter,
    Conclusion,
    Decision,
    EffectFilter,
    FrequencyCap,
    Intent,
    NewApproval,
    Suppression,
)
from worker.journal.schema import VERSION_TABLE, SchemaTooNew, head
from worker.journal.sql import SqlJournal
from worker.journal.tables import metadata


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'journal.db'}"


@pytest.fixture
def migrated(url: str) -> Iterator[Connection]:
    asyncio.run(_open_and_close(url))
    engine = create_engine(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


async def _open_and_close(url: str) -> None:
    journal = SqlJournal(url)
    try:
        await journal.open()
    finally:
        await journal.close()


def test_the_migrations_make_the_tables_that_the_code_uses(migrated: Connection) -> None:
    context = MigrationContext.configure(migrated, opts={"version_table": VERSION_TABLE})
    assert compare_metadata(context, metadata) == []
    assert context.get_current_revision() == head()


def test_every_migration_opens_with_the_tables_it_touches() -> None:
    folder = Path(__file__).parents[2] / "worker/journal/migrations/versions"
    for file in folder.glob("*.py"):
        source = file.read_text()
        docstring = source.split('"""')[1]
        for table in set(re.findall(r'"(muster_\w+)",?$', source, re.MULTILINE)):
            if f'create_table(\n        "{table}"' in source:
                assert table in docstring, f"{file.name} does not name {table}"


def test_a_schema_newer_than_the_code_is_refused_untouched(url: str, migrated: Connection) -> None:
    migrated.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))  # noqa: S608 - ours
    migrated.commit()
    with pytest.raises(SchemaTooNew, match=r"9999.*upgrade"):
        asyncio.run(_open_and_close(url))
    found = migrated.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608 - ours
    assert found == "9999"


def test_every_commit_reaches_the_disk(url: str) -> None:
    async def run() -> list[Any]:
        journal = SqlJournal(url)
        await journal.open()
        names = ("journal_mode", "synchronous", "foreign_keys")
        with journal._engines[0].connect() as connection:
            found = [connection.scalar(text(f"PRAGMA {name}")) for name in names]
        await journal.close()
        return found

    assert asyncio.run(run()) == ["wal", 2, 1]


def test_no_statement_of_daily_work_reads_a_whole_table(url: str, tmp_path: Path) -> None:
    """100,000 finished runs must cost nothing: whatever is done finds its rows by an index."""
    said: dict[str, Any] = {}

    def note(*arguments: Any) -> None:
        statement, parameters, many = arguments[2], arguments[3], arguments[5]
        said[statement] = parameters[0] if many else parameters

    async def run() -> None:
        journal = SqlJournal(url)
        await journal.open()
        for engine in journal._engines:
            event.listen(engine, "before_cursor_execute", note)
        await _everything(journal)
        await journal.close()

    asyncio.run(run())
    with sqlite3.connect(tmp_path / "journal.db") as connection:
        for statement, parameters in said.items():
            for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
                _check_plan(row[3], statement)
    assert len(said) > 60


def _check_plan(line: str, statement: str) -> None:
    """Scans are for the few workers, writers, limits, the live runs, the counts, the newest first.

    And for what is rare: runs of whose end others are still to be told, failures to be looked at.
    """
    harmless = (
        "muster_workers",
        "muster_writers",
        "muster_quarantine",
        "USING COVERING INDEX muster_runs_by_flow",
        "USING INDEX muster_runs_queued",
        "USING INDEX muster_runs_running",
        "USING INDEX muster_runs_newest",
        "INDEX muster_runs_awaited",
        "INDEX muster_runs_unasked",
        "INDEX muster_runs_failures",
        "muster_limits",
        "USING INDEX muster_effects_newest",
        "USING INDEX muster_approvals_newest",
    )
    if line.startswith("SCAN muster_"):
        assert any(word in line for word in harmless), f"{line}\n{statement}"


async def _everything(journal: SqlJournal) -> None:
    await journal.beat(WorkerInfo(worker_id="w", hostname="h", pid=1), 60)
    for number in range(4):
        await journal.accept(_new(f"r{number}", key=f"k{number}"))
        await journal.claim(f"r{number}", "w")
    steps = [
        StepWrite(step="q", agent="a", state=StepState.QUEUED, input_sha256="b", input="{}"),
        StepWrite(step="s", agent="a", state=StepState.RUNNING, input_sha256="b", input="{}"),
    ]
    await journal.commit(
        Commit(run_id="r0", epoch=1, steps=steps, events=[NewEvent(type="e", origin="o")])
    )
    await journal.commit(Commit(run_id="r0", epoch=1, steps=steps[1:]))
    await journal.claim_step("r0", "q", "x")
    await journal.rescue_steps([("r0", "q")], 3)
    await journal.claim_step("r0", "q", "x")
    await journal.commit_step(
        StepCommit(run_id="r0", step="q", attempt=3, executor="x", state=StepState.SUCCEEDED)
    )
    await journal.settled_steps([("r0", "q")])
    await journal.running_steps([("r0", "q")])
    await journal.owned("w")
    await journal.blame("r1", "w", 1)
    await journal.cancel("r2", "why")
    end = RunEnd(state=RunState.SUCCEEDED)
    await journal.commit(
        Commit(run_id="r3", epoch=1, events=[NewEvent(type="run.succeeded")], end=end)
    )
    await journal.retire("w")
    await journal.rescue(3)
    await journal.unsent(frozenset({"runs.f"}), 0, 10)
    await journal.mark_sent(["r0"])
    await journal.run("r0")
    await journal.steps("r0")
    await journal.attempts("r0")
    await journal.events("r0")
    await journal.counts()
    await journal.workers()
    for which in (
        RunFilter(),
        RunFilter(states=frozenset({RunState.DEAD})),
        RunFilter(flow="f", tenant="t", tags={"a": "b"}, before="r1"),
    ):
        await journal.runs(which)
    await _everything_that_waits(journal)
    await _everything_of_the_ledger(journal)
    await journal.quarantine(
        QuarantinedMessage(queue="q", reason="r", sha256="s", size=1, excerpt="e")
    )
    await journal.quarantined()


async def _everything_that_waits(journal: SqlJournal) -> None:
    await journal.beat(WorkerInfo(worker_id="w", hostname="h", pid=1), 60)
    for name, more in (
        ("parent", {"singleton": "k"}),
        ("second", {"singleton": "k"}),
        ("third", {"singleton": "k"}),
        ("child", {"parent_id": "parent", "root_id": "parent"}),
        ("again", {"replay": Replay(run_id="r3")}),
    ):
        await journal.accept(_new(name, **more))
    for run_id in ("parent", "child", "again"):
        await journal.claim(run_id, "w")
    waits = {
        "parent": Waits(signals={"go": 0}, children=["child"]),
        "again": Waits(until=1e11),
    }
    for run_id, what in waits.items():
        end = RunEnd(state=RunState.WAITING, waits=what)
        await journal.commit(Commit(run_id=run_id, epoch=1, end=end))
    ended = [NewEvent(type="run.failed")]
    end = RunEnd(state=RunState.FAILED, fingerprint="F")
    await journal.commit(Commit(run_id="child", epoch=1, events=ended, end=end))
    assert [hint.run_id for hint in await journal.wake(10)] == ["parent"]
    await journal.claim("parent", "w")
    await journal.commit(Commit(run_id="parent", epoch=2, events=ended, end=end))
    assert [hint.run_id for hint in await journal.wake(10, ["third", "second"])] == ["second"]
    await journal.cancel("second", "why")
    assert [hint.run_id for hint in await journal.wake(10)] == ["third"]
    await journal.signal("again", "go", "1")
    await journal.claim("again", "w")
    await journal.signals("again")
    await journal.ended(["child", "parent"])
    await journal.failure_groups()
    await journal.spent("parent")
    await journal.set_limit(AgentLimit(agent="a", concurrency=1))
    await journal.set_limit(AgentLimit(agent="a"))
    await journal.limits()
    for which in (
        RunFilter(parent_id="parent"),
        RunFilter(singleton="k", states=frozenset({RunState.WAITING})),
        RunFilter(fingerprint="F", not_replayed=True),
    ):
        await journal.runs(which)


async def _everything_of_the_ledger(journal: SqlJournal) -> None:
    await journal.accept(_new("sender"))
    await journal.claim("sender", "w")
    names = {"run_id": "sender", "epoch": 1, "tenant": "default", "channel": "email"}
    what = {"content_sha256": "c", "title": "t"}
    asked = NewApproval(
        approval_id="a",
        requester="u",
        content="{}",
        role="r",
        expires_seconds=60,
        **names,
        **what,
    )
    await journal.ask_approval(asked)
    decision = Decision(
        approval_id="a", tenant="default", approve=True, content_sha256="c", by="me"
    )
    await journal.decide(decision)
    intent = Intent(
        key="k",
        step="s",
        attempt=1,
        recipients=["x"],
        cap=FrequencyCap(count=9, seconds=60),
        approval_role="r",
        **names,
        **what,
    )
    for state in (EffectState.FAILED, EffectState.UNKNOWN):
        assert (await journal.intend(intent)).go
        effect = await journal.effect("default", "k")
        assert effect is not None
        conclusion = Conclusion(key="k", tenant="default", tries=effect.tries, state=state)
        await journal.conclude(conclusion)
    await journal.settle_effect("default", "k", EffectState.SENT, by="me")
    await journal.reached("default", "email", ["x"], 60)
    await journal.suppress(Suppression(tenant="default", channel="*", recipient="x"))
    await journal.suppressions("default", channel="email", recipients=["x"])
    await journal.unsuppress("default", "*", "x")
    await journal.approval("a")
    for effects in (
        EffectFilter(),
        EffectFilter(state=EffectState.UNKNOWN),
        EffectFilter(run_id="sender"),
        EffectFilter(recipient="x"),
    ):
        await journal.effects(effects)
    for approvals in (
        ApprovalFilter(),
        *(ApprovalFilter(state=state) for state in ApprovalState),
        ApprovalFilter(run_id="sender"),
    ):
        await journal.approvals(approvals)


def _new(run_id: str, **more: Any) -> NewRun:
    return NewRun(
        run_id=run_id,
        flow="f",
        version=1,
        payload="{}",
        payload_sha256="a",
        source="s",
        **more,
    )


def test_the_reference_names_every_table_and_column() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/journal.md").read_text()
    sections = dict(
        re.findall(r"^## (muster_\w+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    )
    assert set(sections) == set(metadata.tables)
    for name, table in metadata.tables.items():
        for column in table.columns:
            assert f"`{column.name}`" in sections[name], f"{name}.{column.name} is not explained"
