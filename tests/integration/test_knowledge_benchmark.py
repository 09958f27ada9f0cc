"""The retrieval benchmark: its measures by hand, and a whole run on a tiny collection."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

pytest.importorskip("bm25s", reason="the dependency group `benchmarks` is not installed")

from agents.knowledge import SourceDocument
from agents.knowledge.postgres_knowledge import PostgresKnowledge
from benchmarks.judged import NoCollection, ndcg, read_collection, recall
from benchmarks.retrieval import main

DOCUMENTS = {
    "d1": ("Locks", "A lock has an owner, who may release it."),
    "d2": ("Mail", "A letter is drafted first and sent after approval."),
    "d3": ("", "Bread is baked in the morning."),
    "d4": ("Only a title", ""),
}
QUERIES = {"q1": "who owns the locks?", "q2": "approving letters", "q3": "never judged", "q4": "??"}
GRADES = [("q1", "d1", 2), ("q1", "d3", 0), ("q2", "d2", 1), ("q4", "d3", 1)]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": i, "title": t, "text": x} for i, (t, x) in DOCUMENTS.items()]
    queries = [{"_id": i, "text": text} for i, text in QUERIES.items()]
    for name, lines in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    rows = ["query-id\tcorpus-id\tscore", *("\t".join(map(str, row)) for row in GRADES)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n")
    return folder


def test_ndcg_by_hand() -> None:
    """Ideal: 3 + 2/log2(3) + 1/log2(4). Found: nothing, 3 at rank 2, 1 at rank 3."""
    grades = {"a": 3, "b": 2, "c": 1}
    ideal = 3 + 2 / math.log2(3) + 0.5
    assert ndcg(["a", "b", "c"], grades) == pytest.approx(1.0)
    assert ndcg(["x", "a", "c"], grades) == pytest.approx((3 / math.log2(3) + 0.5) / ideal)
    assert ndcg(["x", "a", "c"], grades) == pytest.approx(0.502491, abs=1e-6)
    assert ndcg([], grades) == 0.0
    assert ndcg(["a"], {}) == 0.0


def test_ndcg_looks_at_ten_and_knows_no_better_ideal_than_ten() -> None:
    many = {f"d{n}": 1 for n in range(20)}
    assert ndcg([f"d{n}" for n in range(10)], many) == pytest.approx(1.0)
    assert ndcg([*"abcdefghij", "d0"], many) == 0.0


def test_recall_by_hand() -> None:
    assert recall(["a", "x", "b"], {"a": 1, "b": 1, "c": 2, "d": 1}) == 0.5
    assert recall(["x"] * 100 + ["a"], {"a": 1}) == 0.0


def test_a_collection_has_judged_queries_only(collection: Path) -> None:
    made = read_collection(collection)
    assert (made.name, len(made.documents), set(made.queries)) == ("tiny", 4, {"q1", "q2", "q4"})
    assert made.grades["q1"] == {"d1": 2}


@pytest.mark.parametrize("broken", ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv"])
def test_what_is_no_collection_is_named(collection: Path, broken: str) -> None:
    (collection / broken).write_text("header\nnonsense")
    with pytest.raises(NoCollection, match="BEIR"):
        read_collection(collection)
    (collection / broken).unlink()
    with pytest.raises(NoCollection, match="BEIR"):
        read_collection(collection)


def test_a_whole_run(collection: Path, capsys: pytest.CaptureFixture[str], database: str) -> None:
    out = collection / "out.json"
    arguments = ["--collection", str(collection), "--out", str(out), "--postgres", database]
    assert main([*arguments, "--embedding-model", "offline"]) == 0
    told = capsys.readouterr().out
    measured = {row["engine"]: row for row in json.loads(out.read_text())["engines"]}
    for engine in ("SQLite FTS5", "SQLite FTS5 + offline-hashing-1", "Postgres FTS"):
        assert engine in told
        # Two of three queries have their answer first; the third holds no word.
        assert measured[engine]["ndcg_at_10"] == pytest.approx(2 / 3)
        assert measured[engine]["documents_per_second"] > 0
    assert any(name.startswith("bm25s") for name in measured)


def test_a_postgres_with_knowledge_is_left_alone(
    collection: Path, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from_cli = ["--collection", str(collection), "--out", str(collection / "o.json")]
    store = PostgresKnowledge(database)
    store.ingest([SourceDocument("a", "A lock.")])
    assert main([*from_cli, "--postgres", database]) == 1
    assert "already" in capsys.readouterr().err
    assert store.search("lock")
    store.close()


def test_a_missing_folder_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--collection", str(tmp_path / "none")]) == 1
    assert "BEIR" in capsys.readouterr().err
