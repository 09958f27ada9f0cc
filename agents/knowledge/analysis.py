"""The words of a text as both stores index them. Stemming is left to the databases."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
_MARKS = re.compile("[\u0300-\u036f]+")
_LONGEST_WORD = 64
_SAID_EVERYWHERE: frozenset[str] = frozenset(
    _WORD.findall(
        "a about above after again against all am an and any are as at be because been before "
        "being below between both but by can could d did do does doing don down during each few "
        "for from further had has have having he her here hers herself him himself his how i if "
        "in into is it its itself just ll m may me might more most must my myself no nor not now "
        "of off on once only or other our ours ourselves out over own re s same shall she should "
        "so some such t than that the their theirs them themselves then there these they this "
        "those through to too under until up upon ve very was we were what when where which while "
        "who whom why will with would you your yours yourself yourselves"
    )
)
"""English words that tell nothing about what a text is about. They are neither indexed nor searched
for, so a passage's length counts its telling words only: on public test collections that ranks
better than leaving them out of the query alone (benchmarks/retrieval.py measures it)."""


def all_words(text: str) -> list[str]:
    """Return every word of `text` in its order, lower-case, without accents."""
    return [word[:_LONGEST_WORD] for word in _WORD.findall(_folded(text).lower())]


def telling_words(text: str) -> list[str]:
    """Return the words of `text` that say what it is about, in their order, repetitions kept."""
    return [word for word in all_words(text) if word not in _SAID_EVERYWHERE]


def _folded(text: str) -> str:
    if text.isascii():
        return text
    bare = _MARKS.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFC", bare)
