"""Imports the shipped flows, so that they register."""

from orchestrators.lead import lead

__all__ = ["lead"]
