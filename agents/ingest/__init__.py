"""Ingestion: the bytes of a file go in, its text with its structure comes out."""

from agents.ingest.errors import UnreadableDocument
from agents.ingest.extracted import Extracted
from agents.ingest.limits import ReadLimits

__all__ = ["Extracted", "ReadLimits", "UnreadableDocument"]
