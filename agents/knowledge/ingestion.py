"""From files to searchable passages: read, store, embed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agents.ingest.limits import ReadLimits
from agents.knowledge.port import DEFAULT_COLLECTION, IngestReport, KnowledgeBase
from agents.knowledge.readers import Skipped, read_documents
from agents.knowledge.retrieval import embed_missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingestion:
    """What became of the files.

    Attributes:
        report: What changed in the store.
        skipped: The files that could not be read; what was known of them stays.
        vectors: Vectors made.
    """

    report: IngestReport
    skipped: tuple[Skipped, ...]
    vectors: int


async def ingest_files(
    knowledge: KnowledgeBase,
    *roots: Path | str,
    collection: str = DEFAULT_COLLECTION,
    metadata: Mapping[str, str] | None = None,
    limits: ReadLimits | None = None,
) -> Ingestion:
    """Make the documents of the files and folders `roots` the whole content of `collection`.

    Args:
        knowledge: The store.
        roots: Files and folders.
        collection: The collection.
        metadata: What is known of all of these documents.
        limits: What one document may cost; None for the usual limits.

    Raises:
        NoKnowledge: Nothing readable is there.
        InvalidInput: Two of the roots hold a document of the same path.
        StoreUnavailable: The database is away or busy.
        ModelBusy: The embedding model stays busy; the documents are in and found by their words,
            and the next ingestion makes the vectors that are missing.
    """
    reading = await asyncio.to_thread(read_documents, *roots, limits=limits, metadata=metadata)
    unread = frozenset(skip.path for skip in reading.skipped)
    report = await asyncio.to_thread(knowledge.ingest, reading.documents, collection, keep=unread)
    return Ingestion(report=report, skipped=reading.skipped, vectors=await embed_missing(knowledge))
