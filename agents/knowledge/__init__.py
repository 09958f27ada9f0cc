"""Knowledge: documents go in, ranked passages that cite them come out."""

from agents.knowledge.document import SourceDocument
from agents.knowledge.errors import EmptyQuery, NoKnowledge
from agents.knowledge.port import IngestReport, KnowledgeBase, KnowledgeStats, Passage

__all__ = [
    "EmptyQuery",
    "IngestReport",
    "KnowledgeBase",
    "KnowledgeStats",
    "NoKnowledge",
    "Passage",
    "SourceDocument",
]
