"""The lead flow in the engine: what a lost worker's successor replays, and the lineage kept."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import agents.builtin
import orchestrators.builtin  # noqa: F401 - registers the flow
from agents.db_write import Outcome, RecordStore, StoredRecord
from agents.db_write.sqlite_records import SqliteRecords
from agents.knowledge import KnowledgeBase, SourceDocument
from agents.knowledge.sqlite_knowledge import SqliteKnowledge
from agents.llm.offline_model import OfflineModel
from agents.providers import provide
from control.lineage import Ancestry, Lineage
from envelope import Envelope
from envelope.ports.journal_rows import RunState
from tests.rig.engine_rig import Rig, rigged

DOCUMENT = SourceDocument("docs/a.md", "# Audit\n\nEvery record carries its provenance.\n")
PAYLOAD = {"company": "Acme", "symbol": "ACM", "sector": "Financials"}


class Gated(SqliteRecords):
    """A store whose first write waits for the test."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()
        self.writes = 0

    def upsert(self, table: str, rows: Sequence[StoredRecord]) -> list[Outcome]:
        self.writes += 1
        self.gate.wait(timeout=10)
        return super().upsert(table, rows)


def furnish(rig: Rig, home: Path, records: RecordStore) -> None:
    """Give the workers knowledge, a store and the offline model."""
    knowledge: KnowledgeBase = SqliteKnowledge(home / "k.sqlite3")
    knowledge.ingest([DOCUMENT])
    for name in "ab":
        resources = rig.worker(name).engine.parts.resources
        provide(resources, knowledge=lambda: knowledge, records=lambda: records, model=OfflineModel)


def test_a_successor_replays_the_very_same_steps(tmp_path: Path) -> None:
    records = Gated(tmp_path / "r.sqlite3")

    async def scenario() -> None:
        async with rigged() as rig:
            furnish(rig, tmp_path, records)
            run_id = await rig.accept("lead", PAYLOAD)
            first = asyncio.create_task(rig.execute(run_id, "a"))
            await rig.until(_wrote(records, 1), "the first worker stores the draft")
            await rig.lose("a")
            await rig.journal.rescue(3)
            second = asyncio.create_task(rig.execute(run_id, "b"))
            await rig.until(_wrote(records, 2), "the successor repeats the step in flight alone")
            records.gate.set()
            await asyncio.gather(first, second)
            run = await rig.until_ended(run_id)
            assert run.state is RunState.SUCCEEDED, run.failure
            steps = await rig.steps(run_id)
            assert {"research", "draft", "store"} <= steps.keys()
            assert (steps["research"].attempt, steps["draft"].attempt) == (1, 1)
            assert records.count("drafts", "default") == 1

    asyncio.run(scenario())
    records.close()


def test_every_parent_of_the_draft_is_found_in_the_run(tmp_path: Path) -> None:
    records = SqliteRecords(tmp_path / "r.sqlite3")

    async def scenario() -> None:
        async with rigged() as rig:
            furnish(rig, tmp_path, records)
            run_id = await rig.accept("lead", PAYLOAD)
            await rig.execute(run_id)
            run = await rig.until_ended(run_id)
            lineage = Lineage.of(run, await rig.journal.steps(run_id))
            draft = Envelope.from_json(run.envelope or "").records[0]
            tree = lineage.ancestry(draft.id)
            assert _unknown(tree) == []
            sources = {p.known.record.provenance.source for p in tree.parents if p.known}
            assert sources == {"leads.csv", "docs/a.md"}

    asyncio.run(scenario())
    records.close()
    assert agents.builtin.__all__


def _unknown(tree: Ancestry) -> list[str]:
    here = [] if tree.known else [tree.record_id]
    return here + [name for parent in tree.parents for name in _unknown(parent)]


def _wrote(records: Gated, count: int) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return records.writes >= count

    return holds
