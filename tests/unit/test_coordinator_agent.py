"""The coordinator over real stores."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents.coordinator import (
    CoordinateRequest,
    GivenSource,
    KnowledgeSource,
    StoredSource,
    TableSource,
)
from agents.db_write import DbWriteRequest, RecordStore, Write
from agents.db_write.sqlite_records import SqliteRecords
from agents.db_write.tables import TableStore, declare_table
from agents.db_write.tables.sqlite_tables import SqliteTables
from agents.knowledge.document import SourceDocument
from agents.knowledge.port import KnowledgeBase
from agents.knowledge.sqlite_knowledge import SqliteKnowledge
from agents.registry import AGENTS
from agents.sql.errors import StoreUnavailable
from envelope import Envelope, Record
from envelope.errors import InvalidInput, TooLarge
from envelope.resources import Resources
from tests.rig.agent_step import AgentStep

declare_table(
    "fcrm",
    {"symbol": "text", "name": "text", "staff": "integer"},
    key=["symbol"],
    table="crm",
    tenant_column="tenant",
)


class Away(SqliteRecords):
    def page(self, *args: Any, **more: Any) -> Any:
        raise StoreUnavailable("The store is away.")


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Resources]:
    made = Resources()
    made.provide(RecordStore, lambda: SqliteRecords(tmp_path / "records.sqlite3"))  # type: ignore[type-abstract] # a port
    made.provide(TableStore, lambda: SqliteTables(tmp_path / "own.sqlite3"))  # type: ignore[type-abstract] # as above
    made.provide(KnowledgeBase, lambda: SqliteKnowledge(tmp_path / "knowledge.sqlite3"))  # type: ignore[type-abstract] # as above
    with sqlite3.connect(tmp_path / "own.sqlite3") as file:
        file.execute(
            "CREATE TABLE crm(tenant TEXT, symbol TEXT, name TEXT, staff INTEGER,"
            " PRIMARY KEY(tenant, symbol))"
        )
        rows = [("t1", "ACM", "Acme", None), ("t1", "ZED", "Zed", 7), ("t2", "ACM", "Theirs", 1)]
        file.executemany("INSERT INTO crm VALUES (?, ?, ?, ?)", rows)
    file.close()
    yield made
    made.close()


@pytest.fixture
def step(resources: Resources) -> AgentStep:
    return AgentStep(resources, tenant="t1")


def lead(symbol: str, **data: Any) -> Record:
    return Record.of({"symbol": symbol, **data}, source="leads.csv", row_id=symbol)


def keep(step: AgentStep, *records: Record, table: str = "fleads") -> None:
    writes = tuple(Write(key=str(n), record=record) for n, record in enumerate(records))
    step.run("db_write", DbWriteRequest(table=table, writes=writes))


def run(step: AgentStep, *sources: Any, **more: Any) -> Envelope:
    return step.run("coordinator", CoordinateRequest(sources=sources, key=("symbol",), **more))


STORED = StoredSource(name="leads", table="fleads")
CRM = TableSource(name="crm", table="fcrm")


def test_four_kinds_of_sources_become_one_set(step: AgentStep, resources: Resources) -> None:
    keep(step, lead("acm", name="ACME", staff=12, city="Bonn"), lead("QED", name="Qed"))
    knowledge = resources.get(KnowledgeBase)  # type: ignore[type-abstract] # a port
    knowledge.ingest([SourceDocument("a.md", "Acme builds bridges of steel.\n")])
    earlier = lead("ZED", name="Zed", city="Rome")
    made = run(
        step,
        CRM,
        STORED,
        GivenSource(name="earlier", records=(earlier,)),
        KnowledgeSource(name="facts", query="bridges"),
    )
    by_symbol = {str(record.data.get("symbol")): record for record in made.records}
    acme, zed = by_symbol["ACM"], by_symbol["ZED"]
    assert {**acme.data, "merge_conflicts": []} == {
        "symbol": "ACM",
        "name": "Acme",
        "staff": 12,
        "city": "Bonn",
        "merge_conflicts": [],
    }
    assert len(acme.provenance.derived_from) == 2
    assert earlier.id in zed.provenance.derived_from
    assert (acme.provenance.source, acme.provenance.agent) == ("coordinator", "coordinator")
    assert by_symbol["QED"].provenance.source == "leads.csv"
    assert by_symbol["None"].provenance.row_id == "a.md#0"
    assert made.metadata.filters["total"] == 4


def test_conflicts_are_reported_by_event_without_their_values(step: AgentStep) -> None:
    keep(step, lead("ACM", name="Another"))
    made = run(step, CRM, STORED)
    conflict: Any = made.records[0].data["merge_conflicts"]
    assert (conflict[0]["field"], conflict[0]["others"][0]["value"]) == ("name", "Another")
    assert step.events == [("coordinator.conflicts", {"count": 1})]


def test_tenants_do_not_meet(step: AgentStep) -> None:
    keep(step, lead("ACM", name="Acme"))
    step.tenant = "t2"
    made = run(step, CRM, STORED)
    assert [record.data["name"] for record in made.records] == ["Theirs"]


def test_conditions_select(step: AgentStep) -> None:
    keep(step, lead("A", sector="x"), lead("B", sector="y"))
    made = run(step, StoredSource(name="leads", table="fleads", where={"sector": "y"}))
    assert [record.data["symbol"] for record in made.records] == ["B"]
    made = run(step, TableSource(name="crm", table="fcrm", where={"staff": None}))
    assert [record.data["symbol"] for record in made.records] == ["ACM"]


def test_pages_hold_everything_once(step: AgentStep) -> None:
    keep(step, *(lead(f"S{n:04}", n=n) for n in range(701)))
    keep(step, *(lead(f"s{n:04}", m=n) for n in range(0, 701, 2)), table="fmore")
    seen: list[Any] = []
    after: Any = None
    while True:
        more = StoredSource(name="more", table="fmore")
        page = run(step, STORED, more, limit=300, after=after)
        seen += [record.data["symbol"] for record in page.records]
        after = page.metadata.filters["next"]
        if after is None:
            break
    assert seen == [f"S{n:04}" for n in range(701)]


def test_a_page_of_large_records_ends_early(step: AgentStep) -> None:
    records = tuple(lead(f"S{n}", text="x" * 150_000) for n in range(8))
    source = GivenSource(name="big", records=records[:4])
    first = run(step, source)
    assert len(first.records) < 4
    rest = run(step, source, after=first.metadata.filters["next"])
    assert len(first.records) + len(rest.records) == 4
    assert rest.metadata.filters["next"] is None


def test_nothing_found_is_no_error(step: AgentStep) -> None:
    assert run(step, STORED).status == "no_results"
    past_the_end = run(step, CRM, after="~~")
    assert (past_the_end.status, past_the_end.metadata.filters["total"]) == ("no_results", 2)


def test_the_same_sources_give_the_same_records(step: AgentStep) -> None:
    keep(step, lead("ACM", name="Another"))
    assert [r.id for r in run(step, CRM, STORED).records] == [
        r.id for r in run(step, CRM, STORED).records
    ]


def test_an_optional_source_that_is_away_is_left_out(
    step: AgentStep, resources: Resources, tmp_path: Path
) -> None:
    resources.provide(RecordStore, lambda: Away(tmp_path / "away.sqlite3"))  # type: ignore[type-abstract] # a port
    made = run(step, CRM, STORED.model_copy(update={"optional": True}))
    assert made.status == "partial"
    assert made.error is not None
    assert made.error.details["sources"] == [
        {"source": "leads", "code": "STORE_UNAVAILABLE", "message": "The store is away."}
    ]
    with pytest.raises(StoreUnavailable):
        run(step, CRM, STORED)
    with pytest.raises(StoreUnavailable):
        run(step, STORED.model_copy(update={"optional": True}))


def test_more_than_is_allowed_is_refused_and_not_cut(step: AgentStep) -> None:
    keep(step, *(lead(f"S{n}") for n in range(20)))
    with pytest.raises(TooLarge, match="more than 10 records"):
        run(step, STORED.model_copy(update={"optional": True}), most=10)


@pytest.mark.parametrize(
    "values",
    [
        {"sources": []},
        {"key": []},
        {"sources": [{"kind": "stored", "name": "a", "table": "runs; --"}]},
        {"sources": [{"kind": "sql", "name": "a", "query": "SELECT 1"}]},
        {"sources": [{"kind": "stored", "name": "a", "table": "x", "where": {"f": ["list"]}}]},
        {"sources": [{"kind": "stored", "name": "a", "table": "x"}] * 2},
        {"precedence": {"v": ["stranger"]}},
        {"limit": 0},
        {"sources": [{"kind": "stored", "name": "a", "table": "x", "where": {'a"b': 1}}]},
        {"sources": [{"kind": "table", "name": "a", "table": "fcrm", "where": {"tenant2": "x"}}]},
    ],
)
def test_what_does_not_fit_is_refused(step: AgentStep, values: dict[str, Any]) -> None:
    whole = {"sources": [{"kind": "table", "name": "crm", "table": "fcrm"}], "key": ["symbol"]}
    with pytest.raises(InvalidInput):
        step.run("coordinator", {**whole, **values})


def test_a_condition_cannot_widen_the_tenant(step: AgentStep) -> None:
    made = run(step, TableSource(name="crm", table="fcrm", where={"tenant": "t2"}))
    assert {record.data["name"] for record in made.records} == {"Acme", "Zed"}


def test_it_runs_inline() -> None:
    assert AGENTS.get("coordinator").inline
