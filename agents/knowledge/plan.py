"""What an ingestion has to do, decided without a database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from agents.knowledge.chunking import Chunk, chunks
from agents.knowledge.document import SourceDocument
from agents.knowledge.errors import NoKnowledge
from agents.knowledge.port import IngestReport
from envelope.canonical import canonical_json
from envelope.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Arrival:
    """A document that was checked, with its fingerprint."""

    document: SourceDocument
    fingerprint: str

    @property
    def metadata(self) -> str:
        """The document's metadata as JSON."""
        return canonical_json(dict(self.document.metadata))


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """Which documents to write and which paths to drop.

    Attributes:
        write: New and changed documents with their passages.
        drop: Paths whose rows go: changed and removed documents.
        report: The changes as they are told; `passages` is counted at the end.
    """

    write: tuple[tuple[Arrival, tuple[Chunk, ...]], ...]
    drop: tuple[str, ...]
    report: IngestReport


def arrivals(documents: Iterable[SourceDocument]) -> dict[str, Arrival]:
    """Check what is to be ingested, before the database is touched; errors as `ingest`."""
    found: dict[str, Arrival] = {}
    for document in documents:
        if not document.path or document.path in found:
            raise InvalidInput(f"Two documents have the path {document.path!r}, or it is empty.")
        _check_metadata(document)
        found[document.path] = Arrival(document, document.fingerprint)
    if not any(arrival.document.text.strip() for arrival in found.values()):
        raise NoKnowledge(
            "None of the documents holds any text. Name a folder with .md or .txt files."
        )
    return found


def plan_ingestion(
    new: Mapping[str, Arrival], present: Mapping[str, str], keep: Collection[str] = ()
) -> IngestPlan:
    """Compare what arrives with the fingerprints that are `present`, by path."""
    added = [path for path in new if path not in present]
    changed = [path for path in new if path in present and present[path] != new[path].fingerprint]
    gone = [path for path in present if path not in new]
    removed = [path for path in gone if path not in keep]
    write = tuple((new[path], tuple(chunks(new[path].document))) for path in [*added, *changed])
    report = IngestReport(
        added=len(added),
        changed=len(changed),
        unchanged=len(new) - len(added) - len(changed),
        removed=len(removed),
        kept=len(gone) - len(removed),
    )
    return IngestPlan(write, (*changed, *removed), report)


def _check_metadata(document: SourceDocument) -> None:
    if not all(isinstance(each, str) for pair in document.metadata.items() for each in pair):
        raise InvalidInput(f"Metadata of {document.path!r} must be texts under names.")
