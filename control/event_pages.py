"""Reads runs' events: followers who ask for the same page at the same time share one read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Event

PAGE = 500
"""Most events of one read. A shorter page is the last one for now."""


class EventPages:
    """The pages that are asked for in this turn of the event loop.

    A notice wakes all followers of a run in one turn. Who asks later gets a read of its own: it may
    have been told of what the one under way will not see.

    Args:
        journal: Where the events are.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._asked: dict[tuple[str, int], asyncio.Task[Sequence[Event]]] = {}

    async def after(self, run_id: str, number: int) -> Sequence[Event]:
        """Return the events that follow event `number`, at most a page.

        Raises:
            JournalUnavailable: The database is away.
        """
        place = run_id, number
        read = self._asked.get(place)
        if read is None or read.done():  # done: the loop it belonged to has ended
            read = self._asked[place] = asyncio.create_task(self._read(*place))
        return await asyncio.shield(read)  # the others need it all the same

    async def _read(self, run_id: str, number: int) -> Sequence[Event]:
        await asyncio.sleep(0)
        del self._asked[run_id, number]
        return await self._journal.events(run_id, number, PAGE)
