"""One suite for every knowledge store: SQLite's FTS5 and Postgres's full text search."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.knowledge import EmptyQuery, KnowledgeBase, NoKnowledge, SourceDocument
from agents.knowledge.document import Block
from agents.knowledge.postgres_knowledge import PostgresKnowledge
from agents.knowledge.sqlite_knowledge import SqliteKnowledge
from agents.sql.errors import StoreBroken, StoreUnavailable
from envelope.canonical import sha256_hex
from envelope.errors import InvalidInput, MusterError
from tests.conformance.postgres_server import PostgresServer

LOCKS = SourceDocument(
    "docs/locks.md",
    "# Locks\n\nA lock has an owner token and expires.\n\n## Release\n\n"
    "Only the owner may release a lock; a stranger's release is refused.\n",
)
AUDIT = SourceDocument(
    "docs/audit.md",
    "# Audit\n\nEvery record carries its provenance, so that an auditor can walk the lineage.\n",
)
MAIL = SourceDocument("notes/mail.txt", "Mails are drafted, never sent without approval.\n", False)

Open = Callable[[], KnowledgeBase]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["sqlite", "postgres"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens the same store again and again, as several processes would."""
    opened: list[KnowledgeBase] = []
    if request.param == "postgres":
        url: str = request.getfixturevalue("new_postgres_database")()

    def open_one() -> KnowledgeBase:
        store: KnowledgeBase = (
            SqliteKnowledge(tmp_path / "below" / "knowledge.sqlite3")
            if request.param == "sqlite"
            else PostgresKnowledge(url)
        )
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Open) -> KnowledgeBase:
    return open_store()


def test_a_passage_is_the_documents_own_text(store: KnowledgeBase) -> None:
    store.ingest([LOCKS, AUDIT, MAIL])
    best = store.search("who may release a lock?")[0]
    assert (best.path, best.heading, best.collection) == (
        "docs/locks.md",
        "Locks > Release",
        "default",
    )
    assert best.text == "Only the owner may release a lock; a stranger's release is refused."
    assert LOCKS.text[best.offset : best.offset + len(best.text)] == best.text
    assert best.sha256 == sha256_hex(best.text)
    assert best.score > 0


def test_words_are_found_in_their_other_forms(store: KnowledgeBase) -> None:
    store.ingest([LOCKS, AUDIT, MAIL])
    assert store.search("auditors")[0].path == "docs/audit.md"
    assert store.search("approvals")[0].path == "notes/mail.txt"


def test_a_heading_counts_more_than_a_mention(store: KnowledgeBase) -> None:
    long = SourceDocument(
        "a.md", "# Other\n\nA permit is mentioned here among many other things.\n"
    )
    own = SourceDocument("b.md", "# Permit\n\nHow a slot is taken and given back by every step.\n")
    store.ingest([long, own])
    assert [passage.path for passage in store.search("permit")] == ["b.md", "a.md"]


def test_nothing_found_is_an_empty_answer(store: KnowledgeBase) -> None:
    store.ingest([LOCKS])
    assert store.search("zebra") == []


def test_answers_are_ordered_and_limited(store: KnowledgeBase) -> None:
    store.ingest([LOCKS, AUDIT, MAIL])
    found = store.search("lock release provenance approval", limit=3)
    assert len(found) == 3
    assert [p.score for p in found] == sorted((p.score for p in found), reverse=True)
    assert store.search("lock release provenance approval", limit=1) == found[:1]


@pytest.mark.parametrize("limit", [0, -1, 101])
def test_a_senseless_limit_is_refused(store: KnowledgeBase, limit: int) -> None:
    store.ingest([LOCKS])
    with pytest.raises(InvalidInput, match="limit"):
        store.search("lock", limit)


def test_ingesting_again_changes_nothing(store: KnowledgeBase) -> None:
    first = store.ingest([LOCKS, AUDIT])
    assert (first.added, first.passages) == (2, 3)
    before, stats = store.search("lock"), store.stats()
    again = store.ingest([AUDIT, LOCKS])
    assert (again.added, again.changed, again.removed, again.unchanged) == (0, 0, 0, 2)
    assert (store.search("lock"), store.stats()) == (before, stats)


def test_a_changed_document_is_replaced(store: KnowledgeBase) -> None:
    store.ingest([LOCKS, AUDIT])
    report = store.ingest([SourceDocument(LOCKS.path, "# Locks\n\nLeases replaced them.\n"), AUDIT])
    assert (report.changed, report.unchanged, report.passages) == (1, 1, 2)
    assert store.search("stranger") == []
    assert store.search("leases")[0].path == LOCKS.path


def test_a_document_that_is_gone_is_removed(store: KnowledgeBase) -> None:
    store.ingest([LOCKS, AUDIT])
    assert store.ingest([AUDIT]).removed == 1
    assert store.search("stranger") == []
    assert (store.stats().documents, store.stats().texts) == (1, 1)


def test_thousands_of_documents_go_at_once(store: KnowledgeBase) -> None:
    store.ingest([SourceDocument(f"{n}.txt", f"Anchor number {n}.", False) for n in range(4_500)])
    assert store.ingest([LOCKS]).removed == 4_500
    assert (store.stats().documents, store.stats().texts) == (1, 2)
    assert store.search("anchor") == []


def test_collections_are_apart(store: KnowledgeBase) -> None:
    store.ingest([LOCKS], "engineering")
    store.ingest([SourceDocument("docs/locks.md", "Door locks need oil.\n")], "facilities")
    assert store.search("lock owner", collection="facilities")[0].text == "Door locks need oil."
    assert {p.collection for p in store.search("lock")} == {"engineering", "facilities"}
    store.ingest([AUDIT], "facilities")
    assert store.search("lock", collection="facilities") == []
    assert store.search("lock", collection="engineering")


def test_a_path_prefix_is_taken_by_the_letter(store: KnowledgeBase) -> None:
    store.ingest([LOCKS, MAIL, SourceDocument("docs_x/a.md", "A lock of another kind.\n")])
    found = store.search("lock approval", path_prefix="docs/")
    assert {p.path for p in found} == {"docs/locks.md"}
    assert store.search("lock", path_prefix="docs%") == []
    assert store.search("lock", path_prefix="%") == []


def test_a_text_that_stands_in_two_documents_is_answered_once(store: KnowledgeBase) -> None:
    copy = SourceDocument("copies/locks.md", LOCKS.text)
    store.ingest([LOCKS, copy])
    assert (store.stats().passages, store.stats().texts) == (4, 2)
    found = store.search("stranger release")
    assert [p.path for p in found if "stranger" in p.text] == ["copies/locks.md"]
    store.ingest([LOCKS])
    assert store.search("stranger release")[0].path == "docs/locks.md"


def test_the_same_text_under_two_headings_is_answered_once(store: KnowledgeBase) -> None:
    twice = "# One\n\nShared wisdom about queues.\n\n# Two\n\nShared wisdom about queues.\n"
    store.ingest([SourceDocument("a.md", twice)])
    assert len(store.search("wisdom")) == 1


def test_no_text_is_an_error_that_says_what_to_do(store: KnowledgeBase) -> None:
    store.ingest([LOCKS])
    for nothing in ([], [SourceDocument("a.md", " \n\n")]):
        with pytest.raises(NoKnowledge, match=r"\.md"):
            store.ingest(nothing)
    assert store.search("lock"), "a refused ingestion leaves what was there"


def test_searching_an_empty_store_says_so(store: KnowledgeBase) -> None:
    with pytest.raises(NoKnowledge, match="Ingest"):
        store.search("lock")
    store.ingest([LOCKS])
    with pytest.raises(NoKnowledge, match="elsewhere"):
        store.search("lock", collection="elsewhere")


def test_two_documents_of_one_path_are_refused(store: KnowledgeBase) -> None:
    with pytest.raises(InvalidInput, match="same"):
        store.ingest([SourceDocument("same", "one"), SourceDocument("same", "two")])


def test_a_passage_cites_document_offset_page_row_and_hashes(store: KnowledgeBase) -> None:
    text = "First page.\n\nSecond page about anchors."
    pages = (Block(start=0, end=11, page=1), Block(start=13, end=len(text), page=2))
    rows = (Block(start=0, end=12, row=1), Block(start=14, end=26, row=2))
    table = SourceDocument("t.csv", "name: anchor\n\nname: rudder", blocks=rows)
    paged = SourceDocument("p.pdf", text, blocks=pages, metadata={"team": "red", "a b": "q\"'z"})
    store.ingest([paged, table])
    best = store.search("anchors", document="p.pdf")[0]
    assert (best.page, best.row, best.offset) == (2, None, 13)
    assert text[best.offset : best.offset + len(best.text)] == best.text
    assert (best.sha256, best.document_sha256) == (sha256_hex(best.text), sha256_hex(text))
    assert best.metadata == {"team": "red", "a b": "q\"'z"}
    assert [(p.row, p.page) for p in store.search("rudder")] == [(2, None)]


def test_filters_are_exact_and_together(store: KnowledgeBase) -> None:
    def made(path: str, **metadata: str) -> SourceDocument:
        return SourceDocument(path, f"A lock of {path}.", metadata=metadata)

    store.ingest([made("a", team="red", year="1"), made("b", team="red"), made("c", team="blue")])
    store.ingest([made("a", team="red")], "other")

    def paths(**where: Any) -> list[str]:
        return sorted(f"{p.collection}/{p.path}" for p in store.search("lock", 10, **where))

    # The same sentence stands in two collections and is answered once, from where it is allowed.
    assert paths(metadata={"team": "red"}) == ["default/a", "default/b"]
    assert paths(metadata={"team": "red"}, collection="other") == ["other/a"]
    assert paths(metadata={"team": "red", "year": "1"}) == ["default/a"]
    assert paths(metadata={"team": "re"}) == paths(metadata={"te": "red"}) == []
    assert paths(metadata={"team": "red' OR '1'='1"}) == []
    assert paths(metadata={'team"}]': "$.x"}, document="a") == []
    assert paths(document="a") == ["default/a"]
    assert paths(document="a", path_prefix="b") == []


def test_filters_that_no_database_holds_are_refused(store: KnowledgeBase) -> None:
    store.ingest([LOCKS])
    for where in ({"metadata": {"a": "\x00"}}, {"document": "\ud800"}, {"collection": ""}):
        with pytest.raises(InvalidInput):
            store.search("lock", **where)  # type: ignore[arg-type] # one filter at a time
    with pytest.raises(InvalidInput, match="20"):
        store.search("lock", metadata={str(n): "x" for n in range(21)})


def test_metadata_of_another_kind_is_refused(store: KnowledgeBase) -> None:
    document = SourceDocument("a", "text", metadata={"year": 1})  # type: ignore[dict-item] # wrong
    with pytest.raises(InvalidInput, match="Metadata of 'a'"):
        store.ingest([document])


def test_changed_metadata_is_a_change(store: KnowledgeBase) -> None:
    store.ingest([SourceDocument("a", "A lock.", metadata={"team": "red"})])
    assert store.ingest([SourceDocument("a", "A lock.", metadata={"team": "blue"})]).changed == 1
    assert store.search("lock", metadata={"team": "red"}) == []
    assert store.search("lock", metadata={"team": "blue"})


def test_what_could_not_be_read_keeps_what_was_known(store: KnowledgeBase) -> None:
    store.ingest([LOCKS, AUDIT, MAIL])
    report = store.ingest([AUDIT], keep={LOCKS.path, "never/seen.md"})
    assert (report.kept, report.removed, report.unchanged) == (1, 1, 1)
    assert store.search("stranger")
    assert store.search("approval") == []


def test_a_text_under_a_thousand_headings_takes_one_place(store: KnowledgeBase) -> None:
    footer = "Contact the harbour office for anchors."
    pages = [SourceDocument(f"{n}.md", f"# Page {n}\n\n{footer}\n") for n in range(1_000)]
    other = SourceDocument("z.md", "An anchor, of which much can be said, holds a ship in place.\n")
    store.ingest([*pages, other])
    found = store.search("anchors harbour", 2)
    assert [p.text for p in found] == [footer, other.text.strip()]


def test_a_word_that_is_repeated_counts_more(store: KnowledgeBase) -> None:
    ship, lamp = (SourceDocument(name, f"The {name} was old.") for name in ("ship", "lamp"))
    store.ingest([ship, lamp])
    assert store.search("ship lamp lamp")[0].path == "lamp"
    assert store.search("ship ship lamp")[0].path == "ship"


def test_a_rare_word_counts_more_than_a_common_one(store: KnowledgeBase) -> None:
    common = [SourceDocument(f"{n}", f"The harbour number {n} is open.") for n in range(20)]
    store.ingest([*common, SourceDocument("rare", "The lighthouse number 99 is open.")])
    assert store.search("harbour lighthouse")[0].path == "rare"


def test_a_query_of_words_that_are_said_everywhere_finds_nothing(store: KnowledgeBase) -> None:
    store.ingest([LOCKS])
    assert store.search("to be or not to be") == []


def test_accents_and_joined_words_do_not_matter(store: KnowledgeBase) -> None:
    store.ingest(
        [SourceDocument("a", "The café/bistro sells crème-brûlée at www.example.com/menu.")]
    )
    for query in ("cafe", "bistro", "brulee", "CRÈME", "menu", "example"):
        assert store.search(query), query


@pytest.mark.parametrize("text", ["with \x00 NUL", "with \ud800 surrogate"])
def test_text_that_no_database_holds_is_refused_whole(store: KnowledgeBase, text: str) -> None:
    with pytest.raises(InvalidInput):
        store.ingest([LOCKS, SourceDocument("bad.md", text)])
    with pytest.raises(NoKnowledge):
        store.search("lock")


HOSTILE = [
    'lock" OR "',
    "lock' --",
    "'); DROP TABLE documents; -- lock",
    "lock NEAR(release, 2) AND NOT owner*",
    "heading:lock ^lock +lock -lock {lock release}:",
    "lock & release | !owner <-> :* \\",
    "\x00lock\x00",
    "lock \ud800 \udfff",
    "🔒 lock 🗝️",
    "lock\u202e\u200b release",
    "or and not lock near",
    "lock " * 200_000,
    "l" * 1_000_000 + " lock",
    "(" * 5_000 + "lock",
]


@pytest.mark.parametrize("query", HOSTILE, ids=range(len(HOSTILE)))
def test_no_query_is_an_operator(store: KnowledgeBase, query: str) -> None:
    store.ingest([LOCKS, AUDIT])
    found = store.search(query)
    assert query.startswith("lll") or found[0].path == "docs/locks.md"
    assert store.stats().documents == 2


@pytest.mark.parametrize("query", ["", " ", "?!*", '"', "\x00", "\ud800", "🔒", "___"])
def test_a_query_without_a_word_is_refused(store: KnowledgeBase, query: str) -> None:
    store.ingest([LOCKS])
    with pytest.raises(EmptyQuery, match="no word"):
        store.search(query)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(query=st.text(st.characters(codec=None), max_size=80), prefix=st.text(max_size=5))
def test_any_query_is_answered_or_refused_by_name(
    store: KnowledgeBase, query: str, prefix: str
) -> None:
    store.ingest([LOCKS, AUDIT])
    try:
        found = store.search(query, path_prefix=prefix or None)
    except InvalidInput:
        return
    assert all(passage.path.startswith(prefix) for passage in found)


def test_several_writers_and_readers_at_once(open_store: Open) -> None:
    """Each thread has a store of its own, as a process would; the first ones race to make it."""
    problems: list[BaseException] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        try:
            start.wait(timeout=30)
            own = open_store()
            for round_ in range(3):
                text = f"Lock number {number} of round {round_}.\n"
                own.ingest([SourceDocument("a.md", text), LOCKS], f"c{number}")
                assert own.search("round", collection=f"c{number}")[0].text == text.strip()
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert problems == []
    assert open_store().stats().documents == 16


def test_writers_of_one_collection_take_turns(open_store: Open) -> None:
    """What is left is the whole of one ingestion, never parts of several."""
    problems: list[BaseException] = []
    start = threading.Barrier(6)

    def work(number: int) -> None:
        try:
            own = open_store()
            own.stats()
            start.wait(timeout=30)
            for turn in range(4):
                paths = ["shared.md", *(f"{number}-{n}.md" for n in range(5))]
                own.ingest([SourceDocument(p, f"By {number}, turn {turn}: {p}.") for p in paths])
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert problems == []
    found = open_store().search("turn", 100)
    assert len(found) == 6
    assert len({passage.text.split(",")[0] for passage in found}) == 1


_SAME_COLLECTION = """
import sys
from agents.knowledge import SourceDocument
from agents.knowledge.postgres_knowledge import PostgresKnowledge
from agents.knowledge.sqlite_knowledge import SqliteKnowledge
place, name = sys.argv[1:]
store = PostgresKnowledge(place) if place.startswith("postgres") else SqliteKnowledge(place)
for turn in range(8):
    shared = SourceDocument("shared.md", f"Written by {name}.")
    store.ingest([shared, SourceDocument(name, f"Anchor of {name}.")])
    found = {passage.text for passage in store.search("written anchor", 100)}
    assert len(found) == 2, found
    assert len({text.rstrip(".").split()[-1] for text in found}) == 1, found
store.close()
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_processes_that_ingest_one_collection_take_turns(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place = str(tmp_path / "same.sqlite3")
    if kind == "postgres":
        place = request.getfixturevalue("new_postgres_database")()
    command = [sys.executable, "-c", _SAME_COLLECTION, place]
    processes = [subprocess.Popen([*command, f"p{number}"], cwd=ROOT) for number in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]


_PROCESS = """
import sys
from agents.knowledge import SourceDocument
from agents.knowledge.postgres_knowledge import PostgresKnowledge
from agents.knowledge.sqlite_knowledge import SqliteKnowledge
place, name = sys.argv[1:]
store = PostgresKnowledge(place) if place.startswith("postgres") else SqliteKnowledge(place)
for turn in range(5):
    store.ingest([SourceDocument("a.md", f"Lock {name} in turn {turn}.")], name)
    assert f"turn {turn}" in store.search("turn", collection=name)[0].text
store.close()
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_several_processes_at_once(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place = str(tmp_path / "shared.sqlite3")
    if kind == "postgres":
        place = request.getfixturevalue("new_postgres_database")()
    processes = [
        subprocess.Popen([sys.executable, "-c", _PROCESS, place, f"p{number}"], cwd=ROOT)
        for number in range(3)
    ]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]


def test_a_reader_never_sees_half_an_ingestion(open_store: Open) -> None:
    writer, reader = open_store(), open_store()
    versions = [
        [SourceDocument(f"{n}.md", f"Edition {edition} of text {n}.\n") for n in range(20)]
        for edition in ("alpha", "beta")
    ]
    writer.ingest(versions[0])
    done = threading.Event()

    def rewrite() -> None:
        for turn in range(6):
            writer.ingest(versions[(turn + 1) % 2])
        done.set()

    thread = threading.Thread(target=rewrite)
    thread.start()
    seen = set()
    while not done.is_set():
        editions = {p.text.split()[1] for p in reader.search("edition", 100)}
        assert len(editions) == 1
        seen |= editions
    thread.join()
    assert seen


def test_an_older_layout_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "knowledge.sqlite3"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(
            "CREATE TABLE documents(id INTEGER PRIMARY KEY, sha256 TEXT); PRAGMA user_version = 1"
        )
    store = SqliteKnowledge(file)
    with pytest.raises(NoKnowledge):
        store.search("lock")
    assert "older layout" in caplog.text
    store.ingest([LOCKS])
    assert store.search("lock")


def test_a_newer_layout_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "knowledge.sqlite3"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreBroken, match="newer version"):
        SqliteKnowledge(file).search("lock")


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "knowledge.sqlite3"
    file.write_text("This is a letter, not a database. " * 100)
    with pytest.raises(StoreBroken, match=r"knowledge\.sqlite3") as caught:
        SqliteKnowledge(file).search("lock")
    assert str(tmp_path) not in str(caught.value)


def test_postgres_away_is_retryable_and_tells_no_password() -> None:
    store = PostgresKnowledge("postgresql://me:s3cret-pw@127.0.0.1:1/none")
    with pytest.raises(StoreUnavailable) as caught:
        store.search("lock")
    assert "s3cret-pw" not in str(caught.value)


def test_a_restarted_postgres_costs_one_attempt(
    own_postgres: PostgresServer, new_postgres_database: Callable[[], str]
) -> None:
    store = PostgresKnowledge(new_postgres_database())
    store.ingest([LOCKS])
    own_postgres.stop("immediate")
    with pytest.raises(StoreUnavailable):
        store.search("lock")
    own_postgres.start()
    assert store.search("lock")
    store.close()


def test_errors_are_ours() -> None:
    assert issubclass(StoreUnavailable, MusterError)
    assert issubclass(NoKnowledge, MusterError)
