"""Turns any free text into the words to search for. What is left cannot be an operator."""

from __future__ import annotations

import re

from agents.knowledge.errors import EmptyQuery
from envelope.canonical import canonical_json
from envelope.errors import InvalidInput

_WORD = re.compile(r"[^\W_]+")
_LOOKED_AT = 20_000
_MOST_WORDS = 64
_LONGEST_WORD = 64
_MOST_PASSAGES = 100
_SAID_EVERYWHERE: frozenset[str] = frozenset(
    _WORD.findall(
        "a about an and are as at be been but by can could did do does for from had has have how "
        "i if in into is it its may me my no nor not of on or our out so than that the their them "
        "then there these they this those to too up was we were what when where which who why "
        "will with would you your"
    )
)


def words(query: str) -> list[str]:
    """Return the distinct words of `query` in their order, lower-case, at most 64.

    Words that stand in every text are left out unless there are no others.

    Raises:
        EmptyQuery: There is no word in it.
    """
    found = _WORD.findall(query[:_LOOKED_AT].lower())
    known = dict.fromkeys(word[:_LONGEST_WORD] for word in found)
    telling = [word for word in known if word not in _SAID_EVERYWHERE] or list(known)
    if not telling:
        raise EmptyQuery("The query holds no word to search for. Write what you want to know.")
    return telling[:_MOST_WORDS]


def check_limit(limit: int) -> int:
    """Return `limit`.

    Raises:
        InvalidInput: It is not between 1 and 100.
    """
    if not 1 <= limit <= _MOST_PASSAGES:
        raise InvalidInput(f"limit must be 1 to {_MOST_PASSAGES}, not {limit}.")
    return limit


def check_filters(collection: str | None, path_prefix: str | None = None) -> None:
    """Refuse what no database could store as a name.

    Raises:
        InvalidInput: A filter is empty or holds NUL or a lone surrogate.
    """
    canonical_json([collection, path_prefix])
    if collection == "":
        raise InvalidInput("The name of a collection is empty. Leave it out to search all.")
