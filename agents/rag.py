"""The `rag` agent: finds the passages that a query needs and cites where they stand."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from agents.knowledge.port import KnowledgeBase, Passage
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
        path_prefix: Documents whose path starts so; None for all.
    """

    collection: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    path_prefix: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None


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
def rag(ctx: AgentContext, request: RagRequest) -> Envelope:
    """Return the passages that fit the query best, one record each; `no_results` without any.

    A record's source is the document, its row id `path#offset`.
    """
    knowledge = ctx.resource(KnowledgeBase)  # type: ignore[type-abstract] # a port is asked for by its Protocol
    passages = knowledge.search(
        request.query,
        request.limit,
        collection=request.filters.collection,
        path_prefix=request.filters.path_prefix,
    )
    return Envelope.from_records(
        [_record(passage) for passage in passages],
        source="knowledge",
        filters={"query": request.query[:1_000], **request.filters.model_dump(exclude_none=True)},
    )


def _record(passage: Passage) -> Record:
    return Record.of(
        {
            "text": passage.text,
            "heading": passage.heading,
            "path": passage.path,
            "offset": passage.offset,
            "collection": passage.collection,
            "text_sha256": passage.sha256,
            "score": round(passage.score, _SCORE_DIGITS),
        },
        source=passage.path,
        row_id=f"{passage.path}#{passage.offset}",
    )
