"""The `copywriter` agent: an e-mail out of retrieved facts, with its lineage."""

from agents.copywriter.agent import copywriter
from agents.copywriter.request import CopyRequest

__all__ = ["CopyRequest", "copywriter"]
