"""Fusing rankings, each text once; the words of texts and queries."""

from __future__ import annotations

import time

import pytest

from agents.knowledge import EmptyQuery, Passage, SourceDocument
from agents.knowledge.analysis import all_words, telling_words
from agents.knowledge.chunking import chunks
from agents.knowledge.query import words
from agents.knowledge.ranking import distinct, fused


def passage(text: str, score: float = 1.0, path: str = "") -> Passage:
    return Passage(
        collection="default",
        path=path or text,
        document_sha256="d",
        offset=0,
        heading="",
        text=text,
        sha256=text,
        score=score,
    )


def ranking(*texts: str) -> list[Passage]:
    return [passage(text, score=100.0 - place) for place, text in enumerate(texts)]


def test_fusion_by_hand() -> None:
    """k is 60: a is 1st and 3rd, b 2nd and 1st, c 3rd, d 2nd."""
    best = fused(10, [ranking("a", "b", "c"), ranking("b", "d", "a")])
    assert [p.text for p in best] == ["b", "a", "d", "c"]
    assert [p.score for p in best] == pytest.approx(
        [1 / 62 + 1 / 61, 1 / 61 + 1 / 63, 1 / 62, 1 / 63]
    )


def test_fusion_is_limited_and_ties_have_an_order() -> None:
    assert [p.text for p in fused(1, [ranking("b"), ranking("a")])] == ["a"]
    assert fused(5, [[], []]) == []
    assert [p.text for p in fused(5, [ranking("x", "y"), []])] == ["x", "y"]


def test_distinct_asks_deeper_until_enough_texts_differ() -> None:
    same = [passage("same", 500.0, path=f"{n:03}") for n in range(300)]
    asked: list[int] = []

    def fetch(depth: int) -> list[Passage]:
        asked.append(depth)
        return [*same, *ranking("b", "c", "d")][:depth]

    found = distinct(3, fetch)
    assert [p.text for p in found] == ["same", "b", "c"]
    assert asked == [6, 48, 384]


def test_distinct_stops_where_there_is_no_more() -> None:
    assert [p.text for p in distinct(5, lambda depth: ranking("a", "b")[:depth])] == ["a", "b"]


def test_words_are_folded_and_kept_in_order() -> None:
    assert all_words("The Café's naïve_Style №5 x-ray") == [
        "the", "cafe", "s", "naive", "style", "no5", "x", "ray",
    ]  # fmt: skip
    assert telling_words("The owner of the lock is the owner") == ["owner", "lock", "owner"]
    assert all_words("서울 हिन्दी")[0] == "서울"


def test_query_words_repeat_and_are_bounded() -> None:
    assert words("lock the lock") == ["lock", "lock"]
    assert words("to be or not") == []
    assert len(set(words(" ".join(f"w{n}" for n in range(500))))) == 64
    assert len(words("lock " * 5_000)) == 256
    assert words("x" * 1_000) == ["x" * 64]
    with pytest.raises(EmptyQuery):
        words("!?")


@pytest.mark.parametrize(
    "line",
    ["# " + " " * 300_000 + "x", "# " + "# " * 200_000 + "x", "#" * 500_000, "`" * 500_000],
    ids=["blanks", "marks", "level", "fence"],
)
def test_no_line_is_hard_to_cut(line: str) -> None:
    began = time.monotonic()
    chunks(SourceDocument("a.md", f"{line}\n\ntext\n"))
    assert time.monotonic() - began < 5


def test_titles_lose_their_closing_marks_only() -> None:
    titles = {"# C#": "C#", "# A ##": "A", "## #": "", "#\tTab\t#": "Tab", "# a # b": "a # b"}
    for line, title in titles.items():
        assert chunks(SourceDocument("a.md", f"{line}\n\ntext"))[0].heading == title
