"""Keeps the values of a label few, whatever the world sends."""

from __future__ import annotations

OTHER = "other"

MOST_FLOWS = 200
"""So many flows are told apart."""

MOST_AGENTS = 200
"""So many agents are told apart."""

MOST_NAMES = 500
"""So many tasks, and so many queues, are told apart: those of all flows and agents."""


class Bounded:
    """Lets the first values through and calls all later ones `other`.

    Args:
        limit: How many different values there may be besides `other`.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """Return the value, or `other` where it is one too many."""
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(value)
        return value
