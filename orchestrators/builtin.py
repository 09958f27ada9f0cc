"""Imports the shipped flows, so that they register."""

from orchestrators.delivery import delivery
from orchestrators.lead import lead

__all__ = ["delivery", "lead"]
