"""The `rag` agent: finds the passages that a query needs and cites where they stand."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue

from agents.knowledge.port import KnowledgeBase, Passage
from agents.knowledge.retrieval import retrieve
from agents.registry import agent
from envelope.envelope import Envelope
from envelope.model import Contract
from envelope.ports.context import AgentContext
from envelope.record import Record

_SCORE_DIGITS = 4


class RagFilters(Contract):
    """Where to search.

    Attributes:
        collection: One collection of documents; None for all.
        document: The document of this path; None for all.
        path_prefix: Documents whose path starts so; None for all.
        metadata: Documents whose metadata have these values, word for word; at most 20.
    """

    collection: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    document: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None
    path_prefix: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None
    metadata: Annotated[dict[str, str], Field(max_length=20)] = Field(default_factory=dict)


class RagRequest(Contract):
    """What to search for.

    Attributes:
        query: Free text, at most 20,000 characters.
        limit: Most passages, 1 to 100.
        filters: Where to search.
    """

    query: Annotated[str, Field(min_length=1, max_length=20_000)]
    limit: Annotated[int, Field(ge=1, le=100)] = 5
    filters: RagFilters = RagFilters()


@agent("rag", concurrency=32, inline=True, timeout=60)
async def rag(ctx: AgentContext, request: RagRequest) -> Envelope:
    """Return the passages that fit the query best, one record each; `no_results` without any.

    A record's source is the document, its row id `path#offset`.
    """
    knowledge = ctx.resource(KnowledgeBase)  # type: ignore[type-abstract] # a port is asked for by its Protocol
    where = request.filters
    passages = await retrieve(
        knowledge,
        request.query,
        request.limit,
        collection=where.collection,
        document=where.document,
        path_prefix=where.path_prefix,
        metadata=where.metadata,
    )
    return Envelope.from_records(
        [_record(passage) for passage in passages],
        source="knowledge",
        filters={"query": request.query[:1_000], **_as_told(where)},
    )


def _as_told(filters: RagFilters) -> dict[str, JsonValue]:
    """Only what was asked for."""
    return filters.model_dump(exclude_none=True, exclude=None if filters.metadata else {"metadata"})


def _record(passage: Passage) -> Record:
    where = {"page": passage.page, "row": passage.row, "metadata": dict(passage.metadata) or None}
    return Record.of(
        {
            "text": passage.text,
            "heading": passage.heading,
            "path": passage.path,
            "offset": passage.offset,
            "collection": passage.collection,
            "text_sha256": passage.sha256,
            "document_sha256": passage.document_sha256,
            "score": float(f"{passage.score:.{_SCORE_DIGITS}g}"),
            **{name: value for name, value in where.items() if value is not None},
        },
        source=passage.path,
        row_id=f"{passage.path}#{passage.offset}",
    )
