"""The `coordinator` agent: records of several stores as one, with conflicts and lineage."""

from agents.coordinator.agent import coordinator
from agents.coordinator.request import (
    CoordinateRequest,
    GivenSource,
    KnowledgeSource,
    StoredSource,
    TableSource,
)

__all__ = [
    "CoordinateRequest",
    "GivenSource",
    "KnowledgeSource",
    "StoredSource",
    "TableSource",
    "coordinator",
]
