"""What can go wrong with knowledge."""

from __future__ import annotations

from envelope.errors import InvalidInput, Terminal


class NoKnowledge(Terminal):
    """There is no text to search. The message says where it was looked for and what to do."""

    code = "NO_KNOWLEDGE"

    @classmethod
    def not_ingested(cls, collection: str | None) -> NoKnowledge:
        """Make the error of a search in a store that nothing was ingested into."""
        where = f"Collection {collection!r}" if collection else "The knowledge store"
        return cls(f"{where} is empty. Ingest a folder with .md or .txt files before searching.")


class EmptyQuery(InvalidInput):
    """The query holds no word to search for."""

    code = "EMPTY_QUERY"


class BadEmbedding(Terminal):
    """The embedding model answered with vectors that cannot be used."""

    code = "BAD_EMBEDDING"
