"""Records quarantined messages in the journal, where they outlive Redis."""

from __future__ import annotations

import asyncio

from envelope.ports.journal import Journal
from envelope.ports.journal_writes import QuarantinedMessage


class JournalSink:
    """A `QuarantineSink` that hands over to the journal's own loop without waiting for it.

    Args:
        journal: An open journal.
        loop: The loop that it was opened on.
    """

    def __init__(self, journal: Journal, loop: asyncio.AbstractEventLoop) -> None:
        self._journal = journal
        self._loop = loop

    def record(self, queue: str, reason: str, sha256: str, size: int, excerpt: str) -> None:
        """Record one message; called in the consumer's thread."""
        message = QuarantinedMessage(
            queue=queue, reason=reason, sha256=sha256, size=size, excerpt=excerpt
        )
        asyncio.run_coroutine_threadsafe(self._journal.quarantine(message), self._loop)
