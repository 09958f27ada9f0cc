"""The best passages of a search: by words alone, or by words and vectors together."""

from __future__ import annotations

from collections.abc import Callable

from agents.knowledge.port import Passage
from agents.knowledge.ranking import FUSION_DEPTH, distinct, fused

Fetch = Callable[[int], list[Passage]]
"""Returns so many of the best passages by one measure, best first, or all there are."""


def best(limit: int, by_words: Fetch, near: Fetch | None) -> list[Passage]:
    """Return the best `limit` passages, each text once.

    Args:
        limit: Most passages.
        by_words: Finds them by their words.
        near: Finds them by vectors; None for words alone.
    """
    if near is None:
        return distinct(limit, by_words)
    return fused(limit, [distinct(FUSION_DEPTH, by_words), distinct(FUSION_DEPTH, near)])
