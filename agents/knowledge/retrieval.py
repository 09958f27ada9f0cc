"""Between a knowledge store, which calls no model, and a model that knows no store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from agents.knowledge.embedding import EmbeddingModel, Vector
from agents.knowledge.port import KnowledgeBase, Passage
from agents.knowledge.query import words
from agents.retries import RetryPolicy

_AT_ONCE = 512
_QUERY_CHARACTERS = 4_000
_PATIENCE = RetryPolicy(attempts=5, base_seconds=1.0)

Sleep = Callable[[float], Awaitable[None]]


async def retrieve(
    knowledge: KnowledgeBase,
    query: str,
    limit: int = 5,
    *,
    collection: str | None = None,
    document: str | None = None,
    path_prefix: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> list[Passage]:
    """Return the passages that fit `query` best, by words and, with an embedding model, by meaning.

    Args and errors as `KnowledgeBase.search` and `EmbeddingModel.embed`. Of a query the first 4,000
    characters are embedded.
    """
    words(query)  # a query without a word is refused before it costs a model call
    model = await asyncio.to_thread(knowledge.embedding_model)
    vector = None if model is None else (await model.embed([query[:_QUERY_CHARACTERS]]))[0]
    return await asyncio.to_thread(
        knowledge.search,
        query,
        limit,
        collection=collection,
        document=document,
        path_prefix=path_prefix,
        metadata=metadata,
        vector=vector,
    )


async def embed_missing(knowledge: KnowledgeBase, *, sleep: Sleep = asyncio.sleep) -> int:
    """Make the vectors that are missing and return how many; 0 where no embedding model is set.

    Each 512 are kept as soon as they are there: what was interrupted goes on where it stopped. A
    passage without a vector is found by its words meanwhile. A busy provider is asked up to five
    times.

    Raises:
        MusterError: As `EmbeddingModel.embed` and the store.
    """
    model = await asyncio.to_thread(knowledge.embedding_model)
    made = 0
    while model is not None and (
        missing := await asyncio.to_thread(knowledge.unembedded, _AT_ONCE)
    ):
        vectors = await _patiently(model, [each.text for each in missing], sleep)
        by_id = {each.text_id: vector for each, vector in zip(missing, vectors, strict=True)}
        await asyncio.to_thread(knowledge.add_vectors, by_id)
        made += len(by_id)
    return made


async def _patiently(model: EmbeddingModel, texts: Sequence[str], sleep: Sleep) -> list[Vector]:
    """Embed; an ingestion is no step, so that nothing else repeats it."""
    attempt = 1
    while True:
        try:
            return await model.embed(texts)
        except Exception as error:
            wait = _PATIENCE.wait_seconds(error, attempt)
            if wait is None:
                raise
            await sleep(wait)
            attempt += 1
