"""Turns any free text into the words to search for. What is left cannot be an operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agents.knowledge.analysis import all_words, telling_words
from agents.knowledge.errors import EmptyQuery
from envelope.canonical import canonical_json
from envelope.errors import InvalidInput

_LOOKED_AT = 20_000
_MOST_WORDS = 64
_MOST_MENTIONS = 256
_MOST_PASSAGES = 100
_MOST_CONDITIONS = 20


def words(query: str) -> list[str]:
    """Return the telling words of `query` in their order; none where all are said everywhere.

    A word that is repeated counts as often as it is said. Of at most 64 distinct words the first
    256 mentions are returned.

    Raises:
        EmptyQuery: There is no word in it.
    """
    looked_at = query[:_LOOKED_AT]
    if not all_words(looked_at):
        raise EmptyQuery("The query holds no word to search for. Write what you want to know.")
    telling = telling_words(looked_at)
    known = frozenset(list(dict.fromkeys(telling))[:_MOST_WORDS])
    return [word for word in telling if word in known][:_MOST_MENTIONS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Where to search; every condition holds for a passage that is found.

    Attributes:
        collection: This collection only.
        document: The document of this path only.
        path_prefix: Documents whose path starts so only.
        metadata: Documents whose metadata have these values, word for word.

    Raises:
        InvalidInput: A condition is empty or nothing that a database could hold.
    """

    collection: str | None = None
    document: str | None = None
    path_prefix: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_collection(self.collection)
        canonical_json([self.document, self.path_prefix, dict(self.metadata)])
        if len(self.metadata) > _MOST_CONDITIONS:
            raise InvalidInput(f"At most {_MOST_CONDITIONS} metadata can be asked for at once.")

    @property
    def open(self) -> bool:
        """Whether every passage may be found."""
        return not (self.collection or self.document or self.path_prefix or self.metadata)

    def arguments(self) -> dict[str, str | bool | None]:
        """Return the filters as the arguments of a statement."""
        return {
            "open": self.open,
            "collection": self.collection,
            "document": self.document,
            "prefix": self.path_prefix,
            "metadata": canonical_json(dict(self.metadata)),
        }


def check_limit(limit: int) -> int:
    """Return `limit`.

    Raises:
        InvalidInput: It is not between 1 and 100.
    """
    if not 1 <= limit <= _MOST_PASSAGES:
        raise InvalidInput(f"limit must be 1 to {_MOST_PASSAGES}, not {limit}.")
    return limit


def check_collection(collection: str | None) -> None:
    """Refuse what no database could store as a name.

    Raises:
        InvalidInput: It is empty or holds NUL or a lone surrogate.
    """
    canonical_json(collection)
    if collection == "":
        raise InvalidInput("The name of a collection is empty. Leave it out to search all.")
