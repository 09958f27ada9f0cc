"""The port: what a knowledge store does, whichever database it lives in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from agents.knowledge.document import SourceDocument

DEFAULT_COLLECTION: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A stretch of a document that fits a query.

    `text` is the document's own: `document[offset : offset + len(text)]`.

    Attributes:
        collection: The collection that the document belongs to.
        path: The document.
        offset: Where the passage starts, in characters.
        heading: The headings above it, joined by ` > `.
        text: The passage.
        sha256: Hash of the passage's text.
        score: How well it fits; higher is better, comparable within one answer only.
    """

    collection: str
    path: str
    offset: int
    heading: str
    text: str
    sha256: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What an ingestion changed.

    Attributes:
        added: Documents that are new.
        changed: Documents whose text is another than before.
        unchanged: Documents that were left alone.
        removed: Documents that are gone from the collection.
        passages: Passages that the collection has now.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    passages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeStats:
    """What a store holds.

    Attributes:
        documents: Documents.
        passages: Passages of all documents.
        texts: Distinct passages; one that stands in several documents counts once.
    """

    documents: int
    passages: int
    texts: int


class KnowledgeBase(Protocol):
    """Stores documents as passages and finds those that fit a query.

    Safe to use from several threads and processes at once. Opened on first use.
    """

    def ingest(
        self, documents: Iterable[SourceDocument], collection: str = DEFAULT_COLLECTION
    ) -> IngestReport:
        """Make `documents` the whole content of `collection`, in one transaction.

        Unchanged documents are left alone, changed ones replaced, missing ones removed.

        Raises:
            NoKnowledge: No document has any text; the collection is left as it was.
            InvalidInput: Two documents have one path, or a text cannot be stored.
            StoreUnavailable: The database is away or busy.
        """

    def search(
        self,
        query: str,
        limit: int = 5,
        *,
        collection: str | None = None,
        path_prefix: str | None = None,
    ) -> list[Passage]:
        """Return the passages that fit `query` best, best first, each text once.

        Any text is a safe query: its words are searched for, operators mean nothing.

        Args:
            query: Free text; words beyond the first 64 distinct ones are not looked at.
            limit: Most passages to return, 1 to 100.
            collection: Search this collection only.
            path_prefix: Search documents whose path starts so only.

        Raises:
            EmptyQuery: The query holds no word.
            NoKnowledge: Nothing was ingested yet.
            StoreUnavailable: The database is away or busy.
        """

    def stats(self) -> KnowledgeStats:
        """Count what is held."""

    def close(self) -> None:
        """Close what was opened."""
