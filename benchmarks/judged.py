"""Test collections with judged documents, and how well a ranking answers their queries."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEPTH: Final = 100
"""How many documents of a ranking are looked at."""

Grades = Mapping[str, int]


class NoCollection(Exception):
    """The folder holds no collection; the message says what is missing."""


@dataclass(frozen=True)
class Collection:
    """Documents, queries, and by query the grades of the documents that answer it."""

    name: str
    documents: Mapping[str, tuple[str, str]]
    queries: Mapping[str, str]
    grades: Mapping[str, Grades]


def read_collection(folder: Path) -> Collection:
    """Read a collection; of its queries those that have grades above 0.

    Raises:
        NoCollection: A file is missing or broken.
    """
    try:
        documents = {d["_id"]: (d.get("title", ""), d["text"]) for d in _lines(folder, "corpus")}
        queries = {query["_id"]: query["text"] for query in _lines(folder, "queries")}
        grades: dict[str, dict[str, int]] = {}
        for line in (folder / "qrels" / "test.tsv").read_text("utf-8").splitlines()[1:]:
            query, document, grade = line.split("\t")
            if int(grade) > 0:
                grades.setdefault(query, {})[document] = int(grade)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoCollection(
            f"{folder} is no collection in the BEIR format ({type(error).__name__}: {error}). "
            "It needs corpus.jsonl, queries.jsonl and qrels/test.tsv."
        ) from error
    return Collection(folder.name, documents, {q: queries[q] for q in grades}, grades)


def ndcg(ranked: Sequence[str], grades: Grades, depth: int = 10) -> float:
    """Return the normalised discounted cumulative gain of the first `depth` documents.

    As trec_eval's ndcg_cut: the gain is the grade itself, discounted by log2(rank + 1) (Järvelin
    and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002).
    """
    best = _gain(sorted(grades.values(), reverse=True)[:depth])
    return _gain([grades.get(document, 0) for document in ranked[:depth]]) / best if best else 0.0


def recall(ranked: Sequence[str], grades: Grades, depth: int = DEPTH) -> float:
    """Return the share of the documents with a grade that are among the first `depth`."""
    return len(grades.keys() & set(ranked[:depth])) / len(grades) if grades else 0.0


def _gain(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades, start=1))


def _lines(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]
