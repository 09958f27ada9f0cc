"""Puts ranked passages together: each text once, several rankings fused into one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from agents.knowledge.port import Passage

FUSION_DEPTH: Final = 100
"""How many passages of each ranking are fused."""
_FUSION_K = 60
_FIRST_DEPTH = 2
_DEEPER = 8


def distinct(limit: int, fetch: Callable[[int], list[Passage]]) -> list[Passage]:
    """Return the best `limit` passages of which no two have the same text.

    Args:
        limit: Most passages.
        fetch: Returns so many of the best passages, best first; fewer where there are no more. A
            text that stands under thousands of headings is why it may be asked again, for more.
    """
    depth = limit * _FIRST_DEPTH
    while True:
        found = fetch(depth)
        best: dict[str, Passage] = {}
        for passage in sorted(found, key=_order):
            best.setdefault(passage.sha256, passage)
        if len(best) >= limit or len(found) < depth:
            return list(best.values())[:limit]
        depth *= _DEEPER


def fused(limit: int, rankings: Sequence[Sequence[Passage]]) -> list[Passage]:
    """Return the best `limit` passages of several rankings, each text once.

    Reciprocal rank fusion: a passage scores the sum of `1 / (60 + rank)` over the rankings that
    hold it (Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and
    individual rank learning methods", SIGIR 2009). Scores of different kinds are never compared.
    """
    scores: dict[str, float] = {}
    passages: dict[str, Passage] = {}
    for ranking in rankings:
        for rank, passage in enumerate(ranking, start=1):
            scores[passage.sha256] = scores.get(passage.sha256, 0.0) + 1 / (_FUSION_K + rank)
            passages.setdefault(passage.sha256, passage)
    scored = (replace(passages[digest], score=score) for digest, score in scores.items())
    return sorted(scored, key=_order)[:limit]


def _order(passage: Passage) -> tuple[float, str, str, int]:
    return (-passage.score, passage.collection, passage.path, passage.offset)
