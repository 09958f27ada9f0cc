"""The `drafts` agent: records of earlier runs, with all that they were made from."""

from agents.drafts.agent import drafts
from agents.drafts.port import KnownRecords, RunRecords
from agents.drafts.request import DraftsRequest

__all__ = ["DraftsRequest", "KnownRecords", "RunRecords", "drafts"]
