"""One suite for every knowledge store: SQLite's FTS5 and Postgres's full text search."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.knowledge import EmptyQuery, KnowledgeBase, NoKnowledge, SourceDocument
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
