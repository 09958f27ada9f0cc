"""The `copywriter` agent: e-mails, ads and posts out of retrieved facts, with their lineage."""

from agents.copywriter.agent import copywriter
from agents.copywriter.lengths import Lengths
from agents.copywriter.request import CopyRequest

__all__ = ["CopyRequest", "Lengths", "copywriter"]
