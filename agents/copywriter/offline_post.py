"""Composes a post without a model: the concern, the facts' own sentences, a question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from agents.copywriter.lengths import Lengths, cut, measured
from agents.copywriter.marks import unmarked
from agents.copywriter.offline import quotes_of, words_of
from agents.copywriter.selection import Quote
from agents.llm.port import Prompt

_QUOTES: Final = 3
_LONGEST_TAG: Final = 30
_WORD: Final = re.compile(r"[^\W_]+")
_QUESTIONS: Final = {
    "formal": "How do you address this in {field}?",
    "direct": "How do you do it?",
}
_FRIENDLY: Final = "How does your team go about it?"


def compose_post(prompt: Prompt) -> tuple[str, list[str], list[str]]:
    """Return text, hashtags and the ids of the facts that the text quotes.

    Raises:
        InvalidOutput: No fact holds a sentence that can be quoted.
    """
    task, words = prompt.task, words_of(prompt)
    lengths = Lengths.model_validate(task.get("lengths") or {})
    network = str(task.get("network") or "")
    tags = _hashtags([str(task.get(name) or "") for name in ("product", "sub_industry", "sector")])
    tags = tags[: lengths.hashtags]
    room = lengths.text - measured("".join(f" #{tag}" for tag in tags), network) - 1
    if room < lengths.text // 2:
        tags, room = [], lengths.text
    quotes = quotes_of(prompt, _QUOTES)
    question = _QUESTIONS.get(str(task.get("tone", "")).lower(), _FRIENDLY).format(**words)
    text, used = _fitting(str(words["concern"]), quotes, question, room, network)
    return text, tags, used


def _fitting(
    opening: str, quotes: Sequence[Quote], question: str, room: int, network: str
) -> tuple[str, list[str]]:
    """Leave quotes out from the last, then the opening, then the question, until it is short."""
    for first, last in ((opening, question), ("", question), ("", "")):
        for count in range(len(quotes), 0, -1):
            kept = quotes[:count]
            parts = [first, *(quote.text for quote in kept), last]
            text = unmarked("\n\n".join(filter(None, parts)))
            if measured(text, network) <= room:
                return text, list(dict.fromkeys(quote.fact for quote in kept))
    shortest = min(quotes, key=lambda quote: len(quote.text))
    return cut(unmarked(shortest.text), room, network), [shortest.fact]


def _hashtags(names: Sequence[str]) -> list[str]:
    """`Regional Banks` becomes `RegionalBanks`; what would be too long or no word is left out."""
    made = ["".join(f"{word[0].upper()}{word[1:]}" for word in _WORD.findall(n)) for n in names]
    good = [tag for tag in made if tag and not tag.isdigit() and len(tag) <= _LONGEST_TAG]
    return list(dict.fromkeys(good))
