"""The db_write agent over a real store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.db_write import DbWriteRequest, RecordStore, Write
from agents.db_write.sqlite_records import SqliteRecords
from agents.registry import AGENTS
from envelope import Record
from envelope.errors import InvalidInput
from envelope.resources import Resources
from tests.rig.agent_step import AgentStep

RECORD = Record.of({"text": "hello"}, source="test")


@pytest.fixture
def store(tmp_path: Path) -> SqliteRecords:
    return SqliteRecords(tmp_path / "records.sqlite3")


@pytest.fixture
def step(store: SqliteRecords) -> AgentStep:
    resources = Resources()
    resources.provide(RecordStore, lambda: store)  # type: ignore[type-abstract] # a port
    return AgentStep(resources, tenant="t1")


def test_a_receipt_leads_back_to_the_record(step: AgentStep, store: SqliteRecords) -> None:
    request = DbWriteRequest(table="drafts", writes=(Write(key="demo/ACME", record=RECORD),))
    receipt = step.run("db_write", request).records[0]
    assert receipt.provenance.derived_from == (RECORD.id,)
    assert receipt.provenance.row_id == "demo/ACME"
    assert receipt.data == {
        "table": "drafts",
        "key": "demo/ACME",
        "record_id": RECORD.id,
        "outcome": "inserted",
    }
    row = store.read("drafts", "t1", "demo/ACME")
    assert row is not None
    assert (row.record, row.run_id) == (RECORD, "run-1")


def test_the_same_step_twice_leaves_one_row(step: AgentStep, store: SqliteRecords) -> None:
    request = {
        "table": "drafts",
        "writes": [{"key": "k", "record": RECORD.model_dump(mode="json")}],
    }
    outcomes = [step.run("db_write", request).records[0].data["outcome"] for _ in range(2)]
    assert outcomes == ["inserted", "unchanged"]
    assert store.count("drafts", "t1") == 1


def test_tenants_do_not_meet(step: AgentStep, store: SqliteRecords) -> None:
    request = DbWriteRequest(table="drafts", writes=(Write(key="k", record=RECORD),))
    step.run("db_write", request)
    step.tenant = "t2"
    assert step.run("db_write", request).records[0].data["outcome"] == "inserted"
    assert store.count("drafts", "t1") == 1


def _writes(*keys: str) -> list[dict[str, Any]]:
    return [{"key": key, "record": RECORD.model_dump(mode="json")} for key in keys]


def _tampered() -> dict[str, Any]:
    record = RECORD.model_dump(mode="json")
    record["data"]["text"] = "another"
    return {"key": "k", "record": record}


@pytest.mark.parametrize(
    "request_",
    [
        {"table": "Drafts; DROP TABLE runs", "writes": _writes("k")},
        {"table": "drafts\n", "writes": _writes("k")},
        {"table": "sqlite_master", "writes": _writes("k")},
        {"table": "drafts", "writes": []},
        {"table": "drafts", "writes": _writes("k", "k")},
        {"table": "drafts", "writes": _writes("")},
        {"table": "drafts", "writes": _writes("k\x00")},
        {"table": "drafts", "writes": [_tampered()]},
        {"table": "drafts", "writes": [{"key": "k", "record": {"data": {"text": "x"}}}]},
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    step: AgentStep, store: SqliteRecords, request_: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput):
        step.run("db_write", request_)
    assert store.count("drafts", "t1") == 0


def test_it_runs_inline() -> None:
    assert AGENTS.get("db_write").inline
