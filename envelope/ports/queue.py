"""The queue: carries hints to workers. It may lose, repeat and reorder them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from envelope.ports.journal_rows import Hint


def topic(hint: Hint) -> str:
    """Return the queue a hint travels on: `runs.<flow>`, or `agent.<name>` for a step."""
    return f"agent.{hint.agent}" if hint.agent else f"runs.{hint.flow}"


class Queue(Protocol):
    """Where hints go."""

    async def enqueue(self, hints: Sequence[Hint]) -> None:
        """Send one message per hint to its topic.

        Raises:
            QueueUnavailable: The broker is away. Some of the hints may have been sent.
        """

    async def depth(self, topics: Sequence[str]) -> dict[str, int]:
        """Return how many messages wait in each topic.

        Raises:
            QueueUnavailable: The broker is away.
        """

    async def close(self) -> None:
        """Let go of connections."""
