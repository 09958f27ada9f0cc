"""The documents that the demo's facts come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agents.knowledge import IngestReport, SourceDocument
from agents.knowledge.readers import read_documents
from agents.providers import knowledge_base
from worker.settings import Settings

_ROOT = Path(__file__).parent.parent.parent
_PACKAGED = Path(__file__).parent / "documents"


def read_knowledge(given: Path | None) -> Sequence[SourceDocument]:
    """Read what the user named, or else the project's own README and docs.

    Raises:
        NoKnowledge: There is nothing to read; the message says where it was looked for.
    """
    return read_documents(*([given] if given is not None else _own_documents())).documents


def ingest(settings: Settings, documents: Sequence[SourceDocument]) -> IngestReport:
    """Make `documents` the content of the knowledge store; errors as `KnowledgeBase.ingest`."""
    knowledge = knowledge_base(settings.database_url, settings.home)
    try:
        return knowledge.ingest(documents)
    finally:
        knowledge.close()


def _own_documents() -> list[Path]:
    """A checkout has README and docs beside the packages; a wheel brings copies."""
    names = ("README.md", "docs")
    found = all((_ROOT / name).exists() for name in names)
    return [(_ROOT if found else _PACKAGED) / name for name in names]
