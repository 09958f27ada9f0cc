"""Tables of the user's own: declared columns, upsert by key, one suite over SQLite and Postgres."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agents.db_write.tables import TABLES, Column, TableStore, TableWriteRequest, declare_table
from agents.db_write.tables.postgres_tables import PostgresTables
from agents.db_write.tables.sqlite_tables import SqliteTables
from agents.sql.errors import ConstraintViolated, StoreBroken, StoreUnavailable, ValueRefused
from agents.sql.sqlite import SqliteFile
from envelope import Record
from envelope.errors import InvalidInput
from envelope.resources import Resources
from tests.rig.agent_step import AgentStep

Execute = Callable[[str], list[tuple[Any, ...]]]

LEADS = declare_table(
    "fleads",
    {
        "symbol": "text",
        "employees": "integer",
        "score": "number",
        "active": Column("boolean", field="is_active"),
        "tags": "json",
        "seen": "timestamp",
        "founded": "date",
    },
    key=["symbol"],
    table="leads table",
    tenant_column="tenant",
    provenance_column="origin",
)
SHARED = declare_table("fshared", {"id": "integer", "select": "text"}, key=["id"], table="shared")

_SQLITE = (
    (
        'CREATE TABLE "leads table"(tenant TEXT NOT NULL, symbol TEXT NOT NULL, employees INTEGER'
        " CHECK (employees >= 0), score REAL, active INTEGER, tags TEXT, seen TEXT, founded TEXT,"
        " origin TEXT, secret TEXT, PRIMARY KEY (tenant, symbol))"
    ),
    'CREATE TABLE shared(id INTEGER PRIMARY KEY, "select" TEXT UNIQUE NOT NULL) STRICT',
)
_POSTGRES = (
    (
        'CREATE TABLE "leads table"(tenant varchar(20) NOT NULL, symbol varchar(8) NOT NULL,'
        " employees int CHECK (employees >= 0), score numeric(8,2), active boolean, tags json,"
        " seen timestamptz, founded date, origin jsonb, secret text, PRIMARY KEY (tenant, symbol))"
    ),
    'CREATE TABLE shared(id bigint PRIMARY KEY, "select" text UNIQUE NOT NULL)',
)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "own.sqlite3")
    return str(request.getfixturevalue("database"))


@pytest.fixture
def execute(place: str) -> Execute:
    def run(statement: str) -> list[tuple[Any, ...]]:
        if place.startswith("postgres"):
            with psycopg.connect(place, autocommit=True) as connection:
                cursor = connection.execute(statement.encode())
                return cursor.fetchall() if cursor.description else []
        file = sqlite3.connect(place, isolation_level=None)
        try:
            return file.execute(statement).fetchall()
        finally:
            file.close()

    return run


@pytest.fixture
def store(place: str, execute: Execute) -> Iterator[TableStore]:
    postgres = place.startswith("postgres")
    for statement in _POSTGRES if postgres else _SQLITE:
        execute(statement)
    made: TableStore = PostgresTables(place) if postgres else SqliteTables(place)
    yield made
    made.close()


@pytest.fixture
def step(store: TableStore) -> AgentStep:
    resources = Resources()
    resources.provide(TableStore, lambda: store)  # type: ignore[type-abstract] # a port
    return AgentStep(resources, tenant="t1")


def lead(symbol: str = "ACM", **data: Any) -> Record:
    full = {
        "symbol": symbol,
        "employees": 12,
        "score": 1.5,
        "is_active": True,
        "tags": {"b": [1, None], "a": "ü"},
        "seen": "2026-01-02T03:04:05+00:00",
        "founded": "1902-05-06",
    }
    return Record.of({**full, **data}, source="crm", row_id=symbol)


def write(step: AgentStep, *records: Record, table: str = "fleads") -> list[Any]:
    made = step.run("table_write", TableWriteRequest(table=table, records=records))
    return [receipt.data["outcome"] for receipt in made.records]


def test_a_row_comes_back_with_its_types(step: AgentStep, store: TableStore) -> None:
    record = lead()
    assert write(step, record) == ["inserted"]
    row = store.select(LEADS, where={"symbol": "ACM"})[0]
    assert row.pop("seen", "").replace("Z", "+00:00") == "2026-01-02T03:04:05+00:00"  # type: ignore[union-attr]
    origin = row.pop("origin")
    assert row == {
        "tenant": "t1",
        "symbol": "ACM",
        "employees": 12,
        "score": 1.5,
        "active": True,
        "tags": {"b": [1, None], "a": "ü"},
        "founded": "1902-05-06",
    }
    assert isinstance(origin, dict)
    assert (origin["record_id"], origin["source"]) == (record.id, "crm")


def test_receipts_name_key_and_parent(step: AgentStep) -> None:
    record = lead()
    made = step.run("table_write", TableWriteRequest(table="fleads", records=(record,)))
    receipt = made.records[0]
    assert receipt.data["key"] == {"symbol": "ACM"}
    assert receipt.provenance.derived_from == (record.id,)
    assert receipt.provenance.source == "table:fleads"


def test_a_repeated_attempt_finds_its_rows_unchanged(step: AgentStep, execute: Execute) -> None:
    records = [lead("A"), lead("B", employees=None), lead("C")]
    assert write(step, *records) == ["inserted"] * 3
    step.run_id = "run-2"
    before = execute('SELECT * FROM "leads table" ORDER BY symbol')
    assert write(step, *records) == ["unchanged"] * 3
    assert execute('SELECT * FROM "leads table" ORDER BY symbol') == before


def test_outcomes_keep_the_order_and_mixed_shapes_go_together(step: AgentStep) -> None:
    write(step, lead("B"), lead("C"))
    bare = Record.of({"symbol": "A"}, source="crm")
    changed = Record.of({"symbol": "C", "employees": 13}, source="crm")
    assert write(step, changed, bare, lead("B"), lead("D")) == [
        "updated",
        "inserted",
        "unchanged",
        "inserted",
    ]


def test_a_missing_field_is_left_alone_and_null_empties(step: AgentStep, store: TableStore) -> None:
    write(step, lead())
    write(step, Record.of({"symbol": "ACM", "score": None}, source="crm"))
    row = store.select(LEADS, where={"symbol": "ACM"})[0]
    assert (row["score"], row["employees"]) == (None, 12)


def test_what_is_not_declared_is_not_written(step: AgentStep, execute: Execute) -> None:
    write(step, lead(secret="x", tenant="t2", origin="forged"))
    assert execute('SELECT tenant, secret FROM "leads table"') == [("t1", None)]


def test_tenants_do_not_meet(step: AgentStep, store: TableStore) -> None:
    write(step, lead(employees=1))
    step.tenant = "t2"
    assert write(step, lead(employees=2)) == ["inserted"]
    assert [row["employees"] for row in store.select(LEADS, where={"tenant": "t1"})] == [1]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"employees": "12"}, "'employees' must be of type integer"),
        ({"employees": True}, "'employees' must be of type integer"),
        ({"employees": 2**63}, "'employees' must be of type integer"),
        ({"is_active": 1}, "'active' must be of type boolean"),
        ({"seen": "2026-01-02T03:04:05"}, "'seen' must be of type timestamp"),
        ({"seen": "0001-01-01T00:00:00+12:00"}, "'seen' must be of type timestamp"),
        ({"seen": "yesterday"}, "'seen' must be of type timestamp"),
        ({"founded": "1902-13-01"}, "'founded' must be of type date"),
        ({"symbol": None}, "'symbol' is needed"),
        ({"symbol": 3}, "'symbol' must be of type text"),
    ],
)
def test_a_value_of_another_type_is_refused_before_anything_is_written(
    step: AgentStep, store: TableStore, data: dict[str, Any], says: str
) -> None:
    bad = Record.of({**lead().data, **data}, source="crm")
    with pytest.raises(InvalidInput, match=f"Record 2 of table 'fleads': {says}") as caught:
        write(step, lead("OK"), bad)
    assert "yesterday" not in str(caught.value)
    assert store.select(LEADS, where={}) == []


def test_two_records_of_one_key_are_refused(step: AgentStep) -> None:
    with pytest.raises(InvalidInput, match="same key"):
        write(step, lead(employees=1), lead(employees=2))


def test_a_table_that_was_not_declared_is_refused(step: AgentStep) -> None:
    with pytest.raises(Exception, match="No table named 'pg_class'"):
        write(step, lead(), table="pg_class")


def test_a_broken_check_is_typed_and_writes_nothing(step: AgentStep, store: TableStore) -> None:
    with pytest.raises(ConstraintViolated) as caught:
        write(step, lead("A"), lead("B", employees=-987_654))
    assert caught.value.rule == "check"
    assert "987654" not in str(caught.value)
    assert store.select(LEADS, where={}) == []


def pair(number: Any, text: Any) -> Record:
    return Record.of({"id": number, "select": text}, source="crm")


def test_unique_and_not_null_are_told_apart(step: AgentStep) -> None:
    write(step, pair(1, "one"), table="fshared")
    with pytest.raises(ConstraintViolated) as caught:
        write(step, pair(2, "one"), table="fshared")
    assert caught.value.rule == "unique"
    assert "select" in caught.value.name
    with pytest.raises(ConstraintViolated) as caught:
        write(step, pair(3, None), table="fshared")
    assert caught.value.rule == "not_null"


@pytest.mark.parametrize("when", ["", " DEFERRABLE INITIALLY DEFERRED"])
def test_a_foreign_key_is_kept_even_at_the_commit(
    step: AgentStep, execute: Execute, when: str
) -> None:
    execute("DROP TABLE shared")
    execute("CREATE TABLE parents(name text PRIMARY KEY)")
    execute(
        'CREATE TABLE shared(id integer PRIMARY KEY, "select" text NOT NULL'
        f" REFERENCES parents(name){when})"
    )
    execute("INSERT INTO parents VALUES ('known')")
    assert write(step, pair(1, "known"), table="fshared") == ["inserted"]
    with pytest.raises(ConstraintViolated) as caught:
        write(step, pair(2, "s3cret-value"), table="fshared")
    assert caught.value.rule == "foreign_key"
    assert "s3cret-value" not in str(caught.value)
    assert execute("SELECT count(*) FROM shared") == [(1,)]


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"seen": "2026-01-02T03:04:05Z"}, {"seen": "2026-01-02T04:04:05+01:00"}),
        ({"founded": "1902-05-06"}, {"founded": "19020506"}),
        ({"tags": {"a": 1, "b": 2}}, {"tags": {"b": 2, "a": 1}}),
        ({"score": 2}, {"score": 2.0}),
    ],
)
def test_another_spelling_of_a_value_is_no_change(
    step: AgentStep, first: dict[str, Any], again: dict[str, Any]
) -> None:
    assert write(step, lead(**first)) == ["inserted"]
    assert write(step, lead(**again)) == ["unchanged"]


def test_a_table_or_column_that_is_not_there_is_named(step: AgentStep, execute: Execute) -> None:
    execute("DROP TABLE shared")
    with pytest.raises(StoreBroken, match=r"no public\.shared\. Make it first"):
        write(step, pair(1, "x"), table="fshared")
    execute("CREATE TABLE shared(id integer PRIMARY KEY)")
    with pytest.raises(StoreBroken, match="no column 'select'"):
        write(step, pair(1, "x"), table="fshared")


def test_a_key_without_a_unique_index_is_refused(step: AgentStep, execute: Execute) -> None:
    execute("DROP TABLE shared")
    execute('CREATE TABLE shared(id integer, "select" text)')
    with pytest.raises(StoreBroken):
        write(step, pair(1, "x"), table="fshared")


@pytest.mark.parametrize(
    "text", ["'; DROP TABLE shared; --", '"', "a%sb", "100%", "\\", "{x}", "🙂"]
)
def test_any_value_is_only_a_value(step: AgentStep, store: TableStore, text: str) -> None:
    write(step, pair(1, text), pair(2, "other"), table="fshared")
    assert store.select(SHARED, where={"select": text}) == [{"id": 1, "select": text}]


def test_pages_follow_the_key(step: AgentStep, store: TableStore) -> None:
    write(step, *(pair(number, f"n{number}") for number in range(10)), table="fshared")
    seen: list[Any] = []
    after: list[Any] | None = None
    while page := store.select(SHARED, where={}, after=after, limit=4):
        seen += [row["id"] for row in page]
        after = [page[-1]["id"]]
    assert seen == list(range(10))


def test_conditions_name_declared_columns_only(store: TableStore) -> None:
    with pytest.raises(InvalidInput, match="declares no column 'secret'"):
        store.select(LEADS, where={"secret": "x"})
    assert store.select(LEADS, where={"tags": {"a": 1}, "score": None, "active": False}) == []


def test_many_writers_of_the_same_keys(place: str, step: AgentStep) -> None:
    problems: list[BaseException] = []

    def work(number: int) -> None:
        own: TableStore = (
            PostgresTables(place) if place.startswith("postgres") else SqliteTables(place)
        )
        rows = [
            {"id": key, "select": f"{key}"}
            for key in (range(20) if number % 2 else range(19, -1, -1))
        ]
        try:
            own.upsert(SHARED, rows)
        except BaseException as problem:
            problems.append(problem)
        finally:
            own.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert problems == []
    assert (
        write(step, *(pair(key, f"{key}") for key in range(20)), table="fshared")
        == ["unchanged"] * 20
    )


def test_a_file_that_many_open_and_close_at_once(tmp_path: Path) -> None:
    """One round in twenty met a lock for which SQLite does not wait by itself."""
    problems: list[BaseException] = []

    def work(place: Path, together: threading.Barrier) -> None:
        file = SqliteFile(place)
        together.wait()
        try:
            for _ in range(2):
                with file.writing() as connection:
                    connection.execute("CREATE TABLE IF NOT EXISTS kept (number)")
                    connection.execute("INSERT INTO kept VALUES (1)")
        except BaseException as problem:
            problems.append(problem)
        finally:
            file.close()

    for number in range(100):
        together = threading.Barrier(6)
        place = tmp_path / f"{number}.sqlite3"
        threads = [threading.Thread(target=work, args=(place, together)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with SqliteFile(place).reading() as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (12,)
    assert problems == []


@pytest.mark.parametrize(
    "values",
    [
        {"columns": {"id": "text"}, "key": []},
        {"columns": {"id": "text"}, "key": ["other"]},
        {"columns": {'i"d': "text"}, "key": ['i"d']},
        {"columns": {"id": "text"}, "key": ["id"], "tenant_column": "id"},
        {"columns": {"id": "text"}, "key": ["id"], "schema": "x" * 64},
    ],
)
def test_a_wrong_declaration_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="fwrong"):
        declare_table("fwrong", **values)
    assert "fwrong" not in TABLES


def test_postgres_refuses_what_is_too_long_instead_of_cutting_it(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute('CREATE TABLE shared(id smallint PRIMARY KEY, "select" varchar(3))')
    store = PostgresTables(database)
    for row in ({"id": 1, "select": "abcdef"}, {"id": 70_000, "select": "a"}):
        with pytest.raises(ValueRefused) as caught:
            store.upsert(SHARED, [row])
        assert "abcdef" not in str(caught.value)
        assert "70000" not in str(caught.value)
    store.close()


def test_a_role_without_rights_is_told_so(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute('CREATE TABLE shared(id int PRIMARY KEY, "select" text)')
        connection.execute("DROP ROLE IF EXISTS fguest")
        connection.execute("CREATE ROLE fguest LOGIN")
    store = PostgresTables(database.replace("postgres@", "fguest@"))
    with pytest.raises(StoreBroken, match="permission denied"):
        store.upsert(SHARED, [{"id": 1, "select": "x"}])
    store.close()


def test_away_is_retryable() -> None:
    store = PostgresTables("postgresql://me:s3cret-pw@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable) as caught:
        store.select(SHARED, where={})
    assert "s3cret-pw" not in str(caught.value)
