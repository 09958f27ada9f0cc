"""Picks the sentences of the facts that say most to one reader."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from agents.copywriter.suspicion import looks_like_instruction
from agents.llm.port import Document
from agents.llm.sentences import fragments, sentences

_WORD = re.compile(r"[A-Za-z][A-Za-z-]+")
_STEM = 5
_SHORTEST, _LONGEST = 5, 34
_RELEVANT = 0.5
_BARELY = 3
_ENOUGH = 2
_FIRST_FACT = 0.5
_NAMES_IT = 0.6
_BESIDE_ITS_NAME = 0.6
_AGAIN = 0.7
_NOT_PROSE = re.compile(r"[{}\[\]<>|=_\\`$#*^~@]|\w[._:/]\w|[:;]\s|\b[A-Z]{6,}\b|--|\.\.\.|…|://")
_NUMBER = re.compile(r"(?<=\d)[.,:](?=\d)")
_LEANS_ON_CONTEXT = re.compile(
    r"^(?:It|Its|This|That|These|Those|They|Their|He|She|And|But|So|Or|Then|Thus|There|Here|Both|"
    r"Either|Neither|Such|Otherwise|Instead|Also|However|Therefore|Again|Each of|One of|The same|"
    r"The latter|Everything|Nothing|All of|The former|The other|Another|Nothing else|Same)\b"
    r"|\b(?:must|should|shall)\b"
    r"|\b(?:above|below|following|this page|this section|this document|chapter|appendix|table)\b"
)
_TELLS_READER_TO = re.compile(
    r"^(?:Run|See|Use|Set|Put|Install|Add|Make|Check|Write|Note|Call|Open|Start|Stop|Give|Keep|Avoid|"
    r"Do|Don't|Never|Always|Please|Read|Try|Choose|Name|Let|Pass|Change|Create|Register|Return|"
    r"Raise|Say|Send|Import|Start-up|Store|Take|Look|Remember|Copy|Type|Press|Click|Go|Learn)\b"
)


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence and the fact that it stands in."""

    text: str
    fact: str
    score: float


def best_quotes(
    documents: Sequence[Document],
    wanted: Iterable[tuple[str, float]],
    count: int,
    about: str = "",
) -> list[Quote]:
    """Return up to `count` sentences that fit best, best first, of different facts where possible.

    Args:
        documents: The facts, best first.
        wanted: Texts whose words matter, each with its weight.
        count: How many sentences are wanted.
        about: The letter's subject; sentences that name it need no context.
    """
    weights = _weights(wanted)
    chosen: list[Quote] = []
    # What reads well and fits goes first, but a letter with a plain line beats no letter.
    for texts_of, least in (
        (_that_stand_alone, _RELEVANT),
        (_that_stand_alone, 0.0),
        (_of_letter_length, 0.0),
        (_that_are_there_at_all, 0.0),
    ):
        quotes = _quotes(documents, weights, texts_of, least)
        _spread(_favoured(quotes, documents, about), chosen, count)
        if len(chosen) >= min(count, _ENOUGH):
            break
    return chosen


def _quotes(
    documents: Sequence[Document],
    weights: dict[str, float],
    texts_of: Callable[[str], list[str]],
    least: float,
) -> list[Quote]:
    scored = (
        (text, document.id, _score(text, weights), _FIRST_FACT / (rank + 1))
        for rank, document in enumerate(documents)
        for text in texts_of(document.text)
        if not looks_like_instruction(text)
    )
    return [
        Quote(text, fact, score + bonus) for text, fact, score, bonus in scored if score >= least
    ]


def _favoured(quotes: list[Quote], documents: Sequence[Document], about: str) -> list[Quote]:
    """Prefer sentences that name the subject, then those of a fact that names it."""
    if not about:
        return quotes
    naming = {document.id for document in documents if about.lower() in document.text.lower()}
    return [
        replace(
            quote,
            score=quote.score
            + _NAMES_IT * (about.lower() in quote.text.lower())
            + _BESIDE_ITS_NAME * (quote.fact in naming),
        )
        for quote in quotes
    ]


def stems(text: str) -> set[str]:
    """Return the words of `text`, each cut to five letters so that its forms agree."""
    return {word.lower()[:_STEM] for word in _WORD.findall(text)}


def _weights(wanted: Iterable[tuple[str, float]]) -> dict[str, float]:
    weights: dict[str, float] = {}
    for text, weight in wanted:
        for stem in stems(text):
            weights[stem] = max(weight, weights.get(stem, 0.0))
    return weights


def _score(sentence: str, weights: dict[str, float]) -> float:
    found = sum(weights.get(stem, 0.0) for stem in stems(sentence))
    return found / math.sqrt(len(sentence.split()) + _SHORTEST)


def _that_stand_alone(markdown: str) -> list[str]:
    return [text for text in sentences(markdown) if _stands_alone(text)]


def _of_letter_length(markdown: str) -> list[str]:
    return [
        text
        for text in sentences(markdown)
        if _SHORTEST <= len(text.split()) <= _LONGEST and text.endswith(".")
    ]


def _that_are_there_at_all(markdown: str) -> list[str]:
    found = (fragment.split() for fragment in fragments(markdown))
    return [
        " ".join(words[:_LONGEST]) + (" …" if len(words) > _LONGEST else "")
        for words in found
        if len(words) >= _BARELY
    ] or [" ".join(markdown.split()[:_LONGEST])]


def _stands_alone(text: str) -> bool:
    return (
        _SHORTEST <= len(text.split()) <= _LONGEST
        and text[0].isupper()
        and text[-1] == "."
        and text.count("(") == text.count(")")
        and text.count('"') % 2 == 0
        and not _NOT_PROSE.search(_NUMBER.sub("", text))
        and not _LEANS_ON_CONTEXT.search(text)
        and not _TELLS_READER_TO.match(text)
    )


def _spread(quotes: list[Quote], chosen: list[Quote], count: int) -> None:
    """Add the best to `chosen`; a fact that was quoted already counts for less."""
    while len(chosen) < count:
        used = Counter(quote.fact for quote in chosen)
        new = [quote for quote in quotes if _is_new(quote, chosen)]
        if not new:
            return
        chosen.append(max(new, key=lambda quote: quote.score * _AGAIN ** used[quote.fact]))


def _is_new(quote: Quote, chosen: list[Quote]) -> bool:
    return bool(quote.text) and all(quote.text.lower() != taken.text.lower() for taken in chosen)
