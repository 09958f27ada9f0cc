"""One suite for every record store: SQLite and Postgres."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agents.db_write import RecordStore, StoredRecord
from agents.db_write.postgres_records import PostgresRecords
from agents.db_write.sqlite_records import SqliteRecords
from agents.sql.errors import StoreBroken, StoreUnavailable
from envelope import Record
from envelope.errors import InvalidInput

Open = Callable[[], RecordStore]
Execute = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A SQLite file's path or a Postgres URL."""
    if request.param == "sqlite":
        return str(tmp_path / "below" / "records.sqlite3")
    url: str = request.getfixturevalue("new_postgres_database")()
    return url


@pytest.fixture
def open_store(place: str) -> Iterator[Open]:
    opened: list[RecordStore] = []

    def open_one() -> RecordStore:
        opened.append(
            PostgresRecords(place) if place.startswith("postgres") else SqliteRecords(place)
        )
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Open) -> RecordStore:
    return open_store()


@pytest.fixture
def execute(place: str) -> Execute:
    """Speaks SQL to the database behind the store's back."""

    def run(statement: str) -> list[tuple[Any, ...]]:
        if place.startswith("postgres"):
            with psycopg.connect(place, autocommit=True) as connection:
                cursor = connection.execute(statement.encode())
                return cursor.fetchall() if cursor.description else []
        Path(place).parent.mkdir(exist_ok=True)
        file = sqlite3.connect(place, isolation_level=None)
        try:
            return file.execute(statement.replace("muster_records.", "")).fetchall()
        finally:
            file.close()

    return run


def row(key: str = "k1", text: str = "hello", *, run: str = "run-1", tenant: str = "t1") -> Any:
    parent = Record.of({"n": 1}, source="crm")
    record = Record.of(
        {
            "text": text,
            "number": 1.0,
            "größe": "ü \u2028 🙂",
            "nested": {"b": [1, None], "a": True},
        },
        source="test",
        row_id=key,
        model="offline-composer-1",
        prompt_sha256="0" * 64,
        derived_from=(parent.id,),
        raw_row={"as": "it was"},
    )
    return StoredRecord(tenant=tenant, key=key, run_id=run, record=record)


def test_a_row_comes_back_as_it_was_written(store: RecordStore) -> None:
    written = row()
    assert store.upsert("drafts", [written]) == ["inserted"]
    read = store.read("drafts", "t1", "k1")
    assert read is not None
    assert read == written
    assert read.record.provenance == written.record.provenance


def test_the_same_write_twice_leaves_one_untouched_row(
    store: RecordStore, execute: Execute
) -> None:
    written = row()
    store.upsert("drafts", [written])
    before = execute("SELECT updated_at FROM muster_records.drafts")
    assert store.upsert("drafts", [written]) == ["unchanged"]
    assert execute("SELECT updated_at FROM muster_records.drafts") == before
    assert store.count("drafts", "t1") == 1


def test_another_record_under_the_key_replaces_it(store: RecordStore) -> None:
    store.upsert("drafts", [row(text="old")])
    assert store.upsert("drafts", [row(text="new", run="run-2")]) == ["updated"]
    read = store.read("drafts", "t1", "k1")
    assert read is not None
    assert (read.record.data["text"], read.run_id) == ("new", "run-2")
    assert store.count("drafts", "t1") == 1


def test_outcomes_keep_the_order_of_the_rows(store: RecordStore) -> None:
    store.upsert("drafts", [row("b"), row("c")])
    outcomes = store.upsert("drafts", [row("c"), row("a"), row("b", "new")])
    assert outcomes == ["unchanged", "inserted", "updated"]


def test_tenants_do_not_meet(store: RecordStore) -> None:
    store.upsert("drafts", [row(text="mine"), row(text="theirs", tenant="t2")])
    mine = store.read("drafts", "t1", "k1")
    assert mine is not None
    assert mine.record.data["text"] == "mine"
    assert (store.count("drafts", "t1"), store.count("drafts", "t2")) == (1, 1)


@pytest.mark.parametrize("key", ["'; DROP TABLE drafts; --", '"', "k\n1", "🙂", " ", "a/b:c*%"])
def test_any_key_is_only_a_key(store: RecordStore, key: str) -> None:
    store.upsert("drafts", [row("other"), row(key)])
    read = store.read("drafts", "t1", key)
    assert read is not None
    assert read.key == key
    assert store.count("drafts", "t1") == 2


@pytest.mark.parametrize(
    "table",
    ["", "Drafts", "1a", "a-b", 'a"b', "a b", "a;b", "a\n", "x" * 64, "sqlite_master", "pg_class"],
)
def test_a_table_name_outside_the_pattern_is_refused(store: RecordStore, table: str) -> None:
    with pytest.raises(StoreBroken, match="a table is named"):
        store.upsert(table, [row()])
    with pytest.raises(StoreBroken, match="a table is named"):
        store.read(table, "t1", "k1")
    with pytest.raises(StoreBroken, match="a table is named"):
        store.count(table, "t1")


@pytest.mark.parametrize("table", ["select", "table", "_", "x" * 63, "order"])
def test_reserved_words_are_good_names(store: RecordStore, table: str) -> None:
    store.upsert(table, [row()])
    assert store.count(table, "t1") == 1


def test_a_table_that_is_not_there_is_empty(store: RecordStore) -> None:
    assert store.read("drafts", "t1", "k1") is None
    assert store.count("drafts", "t1") == 0


def test_a_foreign_table_is_left_alone(store: RecordStore, execute: Execute, place: str) -> None:
    if place.startswith("postgres"):
        execute("CREATE SCHEMA muster_records")
    execute("CREATE TABLE muster_records.customers(id text, secret text)")
    execute("INSERT INTO muster_records.customers VALUES ('1', 'x')")
    for act in (
        lambda: store.upsert("customers", [row()]),
        lambda: store.read("customers", "t1", "k1"),
        lambda: store.count("customers", "t1"),
    ):
        with pytest.raises(StoreBroken, match="other columns"):
            act()
    assert execute("SELECT count(*) FROM muster_records.customers") == [(1,)]


def test_a_row_changed_behind_our_back_is_noticed(store: RecordStore, execute: Execute) -> None:
    store.upsert("drafts", [row()])
    execute('UPDATE muster_records.drafts SET data = \'{"text":"tampered"}\'')
    with pytest.raises(StoreBroken, match="hashes"):
        store.read("drafts", "t1", "k1")


def test_pages_follow_the_keys_by_code_point(store: RecordStore) -> None:
    keys = ["a", "B", "ä", "z", "10", "9", "a b", "🙂"]
    store.upsert("drafts", [row(key) for key in keys] + [row("c", tenant="t2")])
    seen: list[str] = []
    while page := store.page("drafts", "t1", after=seen[-1] if seen else "", limit=3):
        seen += [held.key for held in page]
    assert seen == sorted(keys)
    assert store.page("other", "t1") == []


@pytest.mark.parametrize(
    ("where", "keys"),
    [
        ({"v": "x"}, ["text"]),
        ({"v": "1"}, ["digits"]),
        ({"v": 1}, ["one"]),
        ({"v": 1.0}, ["one"]),
        ({"v": True}, ["yes"]),
        ({"v": False}, []),
        ({"v": None}, ["missing", "null"]),
        ({"v": "x", "other": 2}, []),
        ({"with space.and-dot": "'; --"}, ["odd"]),
    ],
)
def test_rows_are_selected_by_fields(
    store: RecordStore, where: dict[str, Any], keys: list[str]
) -> None:
    values: dict[str, dict[str, Any]] = {
        "digits": {"v": "1"},
        "list": {"v": ["x"]},
        "missing": {"w": 1},
        "null": {"v": None},
        "odd": {"v": 0, "with space.and-dot": "'; --"},
        "one": {"v": 1},
        "text": {"v": "x"},
        "yes": {"v": True},
    }
    rows = [
        StoredRecord(tenant="t1", key=key, run_id="r", record=Record.of(data, source="s"))
        for key, data in values.items()
    ]
    store.upsert("drafts", rows)
    assert [held.key for held in store.page("drafts", "t1", where=where)] == keys


@pytest.mark.parametrize("field", ['a"b', "$", "a[0]", "", "x'--"])
def test_a_field_that_cannot_stand_in_a_path_is_refused(store: RecordStore, field: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be selected"):
        store.page("drafts", "t1", where={field: 1})


def test_two_rows_of_one_key_are_refused(store: RecordStore) -> None:
    with pytest.raises(InvalidInput, match="same key"):
        store.upsert("drafts", [row(text="a"), row(text="b")])


def test_one_bad_row_writes_none(store: RecordStore) -> None:
    good = row("good")
    bad = replace(row("bad"), tenant="\ud800")
    with pytest.raises((StoreBroken, UnicodeEncodeError)):
        store.upsert("drafts", [good, bad])
    assert store.count("drafts", "t1") == 0


def test_many_writers_of_the_same_keys(open_store: Open) -> None:
    """The first ones race to make the table; the rows come in opposite orders."""
    problems: list[BaseException] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        try:
            own = open_store()
            rows = [row(f"k{key}", f"by {number}", run=f"run-{number}") for key in range(20)]
            start.wait(timeout=30)
            for _ in range(3):
                own.upsert("drafts", rows if number % 2 else rows[::-1])
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert problems == []
    store = open_store()
    assert store.count("drafts", "t1") == 20
    assert store.read("drafts", "t1", "k7") is not None


def test_postgres_away_is_retryable_and_tells_no_password() -> None:
    with pytest.raises(StoreUnavailable) as caught:
        PostgresRecords("postgresql+psycopg://me:s3cret-pw@127.0.0.1:1/none").count("drafts", "t1")
    assert "s3cret-pw" not in str(caught.value)
