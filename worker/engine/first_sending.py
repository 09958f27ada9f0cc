"""The first message of a run, which was noted in the commit that accepted the run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from envelope.errors import JournalUnavailable, QueueUnavailable
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Hint
from envelope.ports.queue import Queue

T = TypeVar("T")


async def send_first(queue: Queue, journal: Journal, hints: Sequence[Hint]) -> str | None:
    """Send the messages, or take the note back: then a reconciler sends them.

    Returns:
        Why they were not sent; None where they were.
    """
    try:
        await queue.enqueue(hints)
    except QueueUnavailable as error:
        with suppress(JournalUnavailable):  # else they are sent a little later
            await journal.forget_sent([hint.run_id for hint in hints])
        return str(error)
    return None


class WholeWork:
    """Work that is done to its end, though whoever waits for it may give up: accept, then send."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()

    async def of(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` returns; cancelled, it goes on by itself."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def done(self) -> None:
        """Wait for what is under way."""
        await asyncio.gather(*self._under_way, return_exceptions=True)
