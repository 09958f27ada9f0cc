"""Checks a text against its facts: numbers, addresses and strong claims that no fact supports."""

from __future__ import annotations

import re
from collections.abc import Iterable

from agents.llm.sentences import sentences

_NUMBER = re.compile(r"(?<![\w.])(?P<value>\d+(?:[.,]\d+)*)\s*(?P<unit>%|percent\b|x\b|times\b)?")
_UNITS = {"percent": "%", "times": "x"}
_COUNTED = {
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
    "eleven": "11",
    "twelve": "12",
}
_STRONG = re.compile(
    r"\b(?:guarantee\w*|certif\w+|complian\w+|HIPAA|GDPR|SOC ?2|ISO ?\d+|PCI|FedRAMP|award\w*|"
    r"world-class|market[- ]lead\w+|industry[- ]lead\w+|number one|double[sd]?|triple[sd]?|"
    r"halve[sd]?|tenfold|twice|hundreds?|thousands?|millions?|billions?|risk-free|unlimited|"
    r"(?:the|our) (?:best|fastest|cheapest|largest|leading|only|safest)|"
    r"(?:free trial|for free|free of charge|trusted by|proven|unbeatable|unmatched|flawless))\b",
    re.IGNORECASE,
)
# What would hide a claim from a reader of Markdown stands plainly in a mail, an ad or a post.
_MARKUP = re.compile(r"^\s*(?:#{1,6}\s+|[=~`:|-]{2,})|[<>\[\]|`]", re.MULTILINE)
_ADDRESS = re.compile(r"(?:https?://|www\.)[^\s<>\"')]+|[^\s<>\"'(]+@[^\s<>\"')]+\.\w+")


def unsupported_claims(text: str, facts: Iterable[str]) -> list[str]:
    """Return the sentences of `text` that claim what no fact says, in their order.

    A sentence is flagged for a number with its unit, a link or mail address, or a strong word
    (guaranteed, certified, twice …) that stands in none of `facts`. Questions claim nothing. A
    sentence that passes may still be wrong: this is a filter for people, not a proof.
    """
    known = "\n".join(facts)
    known = f"{known}\n{' '.join(_statements(known))}"
    numbers, lower = _numbers(known), known.lower()
    return [
        sentence
        for sentence in _statements(text)
        if _claims_numbers(sentence, numbers) or _claims_words(sentence, lower)
    ]


def _statements(text: str) -> list[str]:
    return sentences(_MARKUP.sub(" ", text))


def _claims_numbers(sentence: str, known: set[str]) -> bool:
    return not sentence.endswith("?") and not _numbers(sentence) <= known


def _claims_words(sentence: str, known: str) -> bool:
    strong = () if sentence.endswith("?") else _STRONG.findall(sentence)
    addresses = [found.rstrip(".,;:!?") for found in _ADDRESS.findall(sentence)]
    return any(word.lower() not in known for word in [*strong, *addresses])


def _numbers(text: str) -> set[str]:
    """Return the numbers of `text` with their units, in one spelling: `1,000` is `1000`."""
    digits = {f"{_plain(found['value'])}{_unit(found['unit'])}" for found in _NUMBER.finditer(text)}
    spelled = {_COUNTED[word] for word in re.findall(r"[a-z]+", text.lower()) if word in _COUNTED}
    return digits | spelled


def _plain(value: str) -> str:
    return re.sub(r",(?=\d{3}(?:\D|$))", "", value).rstrip(".,")


def _unit(unit: str | None) -> str:
    return _UNITS.get(unit or "", unit or "")
