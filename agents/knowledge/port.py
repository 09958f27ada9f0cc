"""The port: what a knowledge store does, whichever database it lives in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from agents.knowledge.document import SourceDocument
from agents.knowledge.embedding import EmbeddingModel, Vector

DEFAULT_COLLECTION: Final = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A stretch of a document that fits a query.

    `text` is the document's own: `document.text[offset : offset + len(text)]`.

    Attributes:
        collection: The collection that the document belongs to.
        path: The document.
        document_sha256: Hash of the document's text.
        metadata: The document's metadata.
        offset: Where the passage starts, in characters of the document's text.
        page: Page of a PDF, from 1; None elsewhere.
        row: Row of a CSV file's data, from 1; None elsewhere.
        heading: The headings above it, joined by ` > `.
        text: The passage.
        sha256: Hash of the passage's text.
        score: How well it fits; higher is better, comparable within one answer only.
    """

    collection: str
    path: str
    document_sha256: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    offset: int
    page: int | None = None
    row: int | None = None
    heading: str
    text: str
    sha256: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What an ingestion changed.

    Attributes:
        added: Documents that are new.
        changed: Documents that are another than before.
        unchanged: Documents that were left alone.
        removed: Documents that are gone from the collection.
        kept: Documents that could not be read now, so that what was known of them stays.
        passages: Passages that the collection has now.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    kept: int = 0
    passages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class KnowledgeStats:
    """What a store holds.

    Attributes:
        documents: Documents.
        passages: Passages of all documents.
        texts: Distinct passages; one that stands in several documents counts once.
        vectors: Distinct passages with a vector.
    """

    documents: int
    passages: int
    texts: int
    vectors: int = 0


@dataclass(frozen=True, slots=True)
class Unembedded:
    """A distinct passage that has no vector of the store's model yet.

    Attributes:
        text_id: How the store names it.
        text: What the model is to be given: the heading and the passage.
    """

    text_id: int
    text: str


class KnowledgeBase(Protocol):
    """Stores documents as passages and finds those that fit a query.

    Safe to use from several threads and processes at once. Opened on first use. It calls no model:
    vectors are handed in (`agents.knowledge.retrieval` does so).
    """

    def ingest(
        self,
        documents: Iterable[SourceDocument],
        collection: str = DEFAULT_COLLECTION,
        *,
        keep: Collection[str] = (),
    ) -> IngestReport:
        """Make `documents` the whole content of `collection`, in one transaction.

        Unchanged documents are left alone, changed ones replaced, missing ones removed.

        Args:
            documents: The documents.
            collection: The collection.
            keep: Paths that stay as they are although no document has them, because they could not
                be read this time.

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
        document: str | None = None,
        path_prefix: str | None = None,
        metadata: Mapping[str, str] | None = None,
        vector: Vector | None = None,
    ) -> list[Passage]:
        """Return the passages that fit `query` best, best first, each text once.

        Any text is a safe query: its words are searched for, operators mean nothing. Without a
        vector the order is that of BM25 (k1 1.2 to 1.5, b 0.75, a heading's word counts three
        times); with one it is the fusion of that and of the vectors' cosine similarity.

        Args:
            query: Free text; words beyond the first 64 distinct ones are not looked at.
            limit: Most passages to return, 1 to 100.
            collection: Search this collection only.
            document: Search the document of this path only.
            path_prefix: Search documents whose path starts so only.
            metadata: Search documents whose metadata have these values only.
            vector: The query as the store's embedding model sees it; None: words alone decide.

        Raises:
            EmptyQuery: The query holds no word.
            NoKnowledge: Nothing was ingested yet.
            InvalidInput: A limit or filter makes no sense.
            StoreUnavailable: The database is away or busy.
        """

    def embedding_model(self) -> EmbeddingModel | None:
        """Return the model whose vectors are kept here; None where there are none.

        None also where a model is set and the database cannot hold vectors: a warning says why.
        """

    def unembedded(self, limit: int) -> list[Unembedded]:
        """Return at most `limit` passages without a vector of the store's model."""

    def add_vectors(self, vectors: Mapping[int, Vector]) -> None:
        """Keep the vectors of the store's model, by `text_id`; passages that are gone do not count.

        Raises:
            BadEmbedding: The vectors differ in length from those that are there.
        """

    def stats(self) -> KnowledgeStats:
        """Count what is held."""

    def close(self) -> None:
        """Close what was opened, the embedding model included."""
