"""Retrieval quality and speed on a public test collection that you supply.

    uv run --group benchmarks python -m benchmarks.retrieval --collection DIR

DIR holds a collection in the BEIR format: `corpus.jsonl` (`_id`, `title`, `text`),
`queries.jsonl` (`_id`, `text`) and `qrels/test.tsv` (query, document, grade, under a header line).
A document ranks where its best passage does.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bm25s
import psycopg

from agents.knowledge import EmptyQuery, KnowledgeBase, SourceDocument
from agents.knowledge.document import Block
from agents.knowledge.embedding import EmbeddingModel
from agents.knowledge.embedding_factory import embedding_model
from agents.knowledge.postgres_knowledge import PostgresKnowledge
from agents.knowledge.retrieval import embed_missing, retrieve
from agents.knowledge.sqlite_knowledge import SqliteKnowledge
from benchmarks.judged import DEPTH, Collection, NoCollection, ndcg, read_collection, recall
from envelope.errors import MusterError
from worker.settings import Settings


@dataclass(frozen=True)
class Measured:
    """One engine on one collection; times in seconds, quality from 0 to 1."""

    engine: str
    ndcg_at_10: float
    recall_at_100: float
    index_seconds: float
    documents_per_second: float
    query_milliseconds: float
    query_milliseconds_p95: float


def measure(engine: str, collection: Collection, index: Callable[[], Any], search: Any) -> Measured:
    """Index, then ask every query.

    Args:
        engine: Its name in the table.
        collection: The collection.
        index: Makes the index; its time is taken.
        search: Returns the ids of at most 100 documents for a text, best first.
    """
    began = time.perf_counter()
    index()
    index_seconds = time.perf_counter() - began
    rankings: dict[str, Sequence[str]] = {}
    taken: list[float] = []
    for query, text in collection.queries.items():
        began = time.perf_counter()
        rankings[query] = search(text)
        taken.append((time.perf_counter() - began) * 1_000)
    judged = collection.grades.items()
    return Measured(
        engine=engine,
        ndcg_at_10=statistics.fmean(ndcg(rankings[query], grades) for query, grades in judged),
        recall_at_100=statistics.fmean(recall(rankings[query], grades) for query, grades in judged),
        index_seconds=index_seconds,
        documents_per_second=len(collection.documents) / index_seconds,
        query_milliseconds=statistics.fmean(taken),
        query_milliseconds_p95=sorted(taken)[int(len(taken) * 0.95)],
    )


def measure_bm25s(collection: Collection, stemmer: Any = None) -> Measured:
    """Measure the public package `bm25s` as its manual uses it, with a stemmer or without."""
    ids = list(collection.documents)
    ranker = bm25s.BM25()

    def words(texts: list[str]) -> Any:
        return bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False)

    def index() -> None:
        texts = [f"{title} {text}" for title, text in collection.documents.values()]
        ranker.index(words(texts), show_progress=False)

    def search(text: str) -> list[str]:
        found, scores = ranker.retrieve(words([text]), k=min(DEPTH, len(ids)), show_progress=False)
        return [ids[n] for n, score in zip(found[0], scores[0], strict=True) if score > 0]

    name = f"bm25s {bm25s.__version__}" + (" + PyStemmer" if stemmer else "")
    return measure(name, collection, index, search)


def _theirs(collection: Collection) -> Iterator[Measured]:
    yield measure_bm25s(collection)
    if importlib.util.find_spec("Stemmer") is not None:
        yield measure_bm25s(collection, importlib.import_module("Stemmer").Stemmer("english"))


def measure_store(engine: str, collection: Collection, store: KnowledgeBase) -> Measured:
    """Measure one of our stores, with vectors where it has a model."""

    def index() -> None:
        store.ingest(map(_document, *zip(*collection.documents.items(), strict=True)))
        runner.run(embed_missing(store))

    def search(text: str) -> list[str]:
        try:
            found = runner.run(retrieve(store, text, DEPTH))
        except EmptyQuery:
            return []
        return list(dict.fromkeys(passage.path for passage in found))

    with asyncio.Runner() as runner:
        return measure(engine, collection, index, search)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every engine that is there, print a table and write it as JSON."""
    asked = _parser().parse_args(arguments)
    settings = Settings.load()
    key = settings.openai_api_key
    try:
        collection = read_collection(asked.collection)
        model = embedding_model(
            asked.embedding_model,
            key.get_secret_value() if key else None,
            settings.openai_base_url,
            settings.llm_timeout_seconds,
        )
        measured = [*_theirs(collection), *_ours(collection, asked.postgres, model)]
    except (NoCollection, MusterError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(table(collection, measured))
    out = asked.out or Path(f"retrieval-{collection.name}.json")
    rows = [asdict(each) for each in measured]
    out.write_text(json.dumps({"collection": collection.name, "engines": rows}, indent=2) + "\n")
    return 0


def table(collection: Collection, measured: Sequence[Measured]) -> str:
    """Return the figures side by side."""
    counted = f"{len(collection.documents):,} documents, {len(collection.queries):,} queries"
    lines = [f"{collection.name}: {counted}", _HEAD]
    lines += [
        f"{m.engine:<24}{m.ndcg_at_10:>9.4f}{m.recall_at_100:>12.4f}{m.index_seconds:>10.2f}"
        f"{m.documents_per_second:>10,.0f}{m.query_milliseconds:>10.2f}{m.query_milliseconds_p95:>10.2f}"
        for m in measured
    ]
    return "\n".join(lines) + "\n"


_HEAD = (
    f"{'engine':<24}{'nDCG@10':>9}{'recall@100':>12}{'index s':>10}{'docs/s':>10}"
    f"{'ms/query':>10}{'p95 ms':>10}"
)


def _ours(
    collection: Collection, postgres: str | None, model: EmbeddingModel | None
) -> Iterator[Measured]:
    for models in [None] if model is None else [None, model]:
        suffix = f" + {models.name}" if models else ""
        with (
            TemporaryDirectory(prefix="muster-retrieval-") as folder,
            _closing(SqliteKnowledge(Path(folder, "knowledge.sqlite3"), models)) as store,
        ):
            yield measure_store(f"SQLite FTS5{suffix}", collection, store)
        if postgres is not None:
            with _closing(PostgresKnowledge(postgres, models)) as store, _emptied(postgres, store):
                yield measure_store(f"Postgres FTS{suffix}", collection, store)


@contextmanager
def _closing(store: KnowledgeBase) -> Iterator[KnowledgeBase]:
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _emptied(url: str, store: KnowledgeBase) -> Iterator[None]:
    """Leave no trace; a database that already holds knowledge is not touched."""
    if store.stats().documents:
        raise NoCollection("This Postgres holds knowledge already. Name an empty database.")
    try:
        yield
    finally:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("DROP SCHEMA muster_knowledge CASCADE")


def _document(name: str, content: tuple[str, str]) -> SourceDocument:
    title, text = content
    text = text.strip()
    if not text:
        return SourceDocument(name, title, markdown=False)
    return SourceDocument(name, text, blocks=(Block(start=0, end=len(text), heading=title),))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--collection", type=Path, required=True, metavar="DIR")
    parser.add_argument("--postgres", metavar="URL", help="an empty database to measure as well")
    parser.add_argument("--embedding-model", metavar="NAME", help="measure with vectors as well")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the JSON goes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
