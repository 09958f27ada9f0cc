"""What the operations guide says of backups is true: its commands, and what a restore does."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from envelope.effect import EffectState
from envelope.ports.journal_rows import Run, RunState
from envelope.ports.ledger import EffectFilter, Suppression
from tests.rig import delivery_flows
from tests.rig.delivery_flows import ACT, SENT
from tests.rig.engine_rig import Rig, rigged
from tests.services.postgres_server import postgres_binaries
from tests.services.presence import missing
from worker.journal.sql import SqlJournal

PAGE = (Path(__file__).parents[2] / "docs" / "operations" / "backup.md").read_text("utf-8")


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backup").mkdir()
    delivery_flows.reset()
    yield
    delivery_flows.reset()


def said(pattern: str) -> str:
    """The one command of the page that fits a pattern."""
    (command,) = re.findall(pattern, PAGE)
    return str(command)


def with_journal(
    url: str, body: Callable[[Rig], Awaitable[Run]], monkeypatch: pytest.MonkeyPatch, allow: str
) -> Run:
    """Start everything anew over a journal, as after a restore."""
    monkeypatch.setenv("MUSTER_ALLOW_DELIVERY", allow)

    async def go() -> Run:
        journal = SqlJournal(url)
        await journal.open()
        try:
            async with rigged(journal) as rig:
                return await body(rig)
        finally:
            await journal.close()

    return asyncio.run(go())


async def accepted(rig: Rig, **more: Any) -> Run:
    payload = {"text": "hi", "deduplicates": False, **more}
    return await rig.run(await rig.accept("acting", payload, allow_delivery=True))


async def executed(rig: Rig, run_id: str) -> Run:
    await rig.execute(run_id)
    return await rig.run(run_id)


def back_up(path: Path) -> None:
    """Copy a journal that is in use, by the command of the page."""
    statement = said(r'sqlite3 \S+ "(VACUUM INTO \'backup/journal.sqlite3\')"')
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def restored(number: int) -> str:
    """The URL of a copy of the backup: each restore begins at the same state."""
    copy = Path(f"restored-{number}.sqlite3")
    copy.write_bytes(Path("backup/journal.sqlite3").read_bytes())
    return f"sqlite:///{copy}"


@pytest.mark.parametrize("deduplicates", [False, True])
def test_what_was_sent_after_the_backup_is_kept_back_or_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deduplicates: bool
) -> None:
    path = tmp_path / "journal.sqlite3"

    async def sent_after_the_backup(rig: Rig) -> Run:
        run = await accepted(rig, deduplicates=deduplicates)
        back_up(path)
        return await executed(rig, run.run_id)

    first = with_journal(f"sqlite:///{path}", sent_after_the_backup, monkeypatch, "true")
    assert [text for _, text in SENT] == ["hi"]

    async def again(rig: Rig) -> Run:
        return await executed(rig, first.run_id)

    kept_back = with_journal(restored(1), again, monkeypatch, "false")
    assert kept_back.envelope is not None
    assert '"gated"' in kept_back.envelope
    assert len(SENT) == 1

    with_journal(restored(2), again, monkeypatch, "true")
    assert SENT[0] == SENT[1]  # the same key: a receiver that deduplicates has one effect
    assert len(SENT) == 2

    async def suppressed(rig: Rig) -> Run:
        await rig.journal.suppress(
            Suppression(
                tenant="default", channel="post", recipient="ada@example.com", reason="", by="ada"
            )
        )
        return await again(rig)

    with_journal(restored(3), suppressed, monkeypatch, "true")
    assert len(SENT) == 2


def test_what_was_being_sent_at_the_backup_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.sqlite3"

    async def while_it_is_sent() -> None:
        await asyncio.to_thread(back_up, path)

    async def sent(rig: Rig) -> Run:
        ACT["hi"] = while_it_is_sent
        return await executed(rig, (await accepted(rig)).run_id)

    first = with_journal(f"sqlite:///{path}", sent, monkeypatch, "true")
    ACT.clear()
    states = []

    async def taken_over(rig: Rig) -> Run:
        await rig.journal.retire("a")  # the worker of then, whose lease has lapsed since
        await rig.journal.rescue(3)
        run = await executed(rig, first.run_id)
        states.extend([row.state for row in await rig.journal.effects(EffectFilter())])
        return run

    run = with_journal(restored(1), taken_over, monkeypatch, "true")
    assert run.state is RunState.FAILED
    assert states == [EffectState.UNKNOWN]
    assert len(SENT) == 1


def test_a_postgres_dump_brings_everything_back(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binaries = postgres_binaries()
    if binaries is None or not (binaries / "pg_dump").exists():
        missing("pg_dump", "install the package postgresql-client")
    environment = {
        **os.environ,
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "MUSTER_DATABASE_URL": database,
    }

    def shell(command: str) -> None:
        done = subprocess.run(
            ["bash", "-euc", command], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    async def dumped_between(rig: Rig) -> Run:
        before = await accepted(rig)
        await asyncio.to_thread(shell, said(r"(?m)^(pg_dump .*)$"))
        await accepted(rig)
        return before

    before = with_journal(database, dumped_between, monkeypatch, "true")
    (dump,) = tmp_path.glob("muster-*.dump")
    dump.rename("muster.dump")
    shell(said(r"`(pg_restore [^`]*)`"))

    async def goes_on(rig: Rig) -> Run:
        return await executed(rig, before.run_id)

    assert with_journal(database, goes_on, monkeypatch, "true").state is RunState.SUCCEEDED
    assert [text for _, text in SENT] == ["hi"]
