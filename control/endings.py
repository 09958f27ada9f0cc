"""Waits for runs to end: all who wait in this process share one look at the journal."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Run
from envelope.ports.wakeup import Wakeups
from worker.engine.notices import ended_channel

_LOOK_SECONDS = 0.5
_LOOK_SECONDS_PER_RUN = 0.0005


class Endings:
    """The runs whose end somebody here waits for.

    A notice says that a run may have ended; notices may be lost, so all are looked at every half
    second as well, somewhat more seldom where there are thousands. Whatever the reason for a look,
    one query answers it for every run that there is a reason for.

    Args:
        journal: Where runs end.
        wakeups: Bring the notices.
    """

    def __init__(self, journal: Journal, wakeups: Wakeups) -> None:
        self._journal = journal
        self._wakeups = wakeups
        self._waiting: defaultdict[str, set[asyncio.Future[Run]]] = defaultdict(set)
        self._asked: set[str] = set()
        self._work = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    async def of(self, run_id: str) -> Run:
        """Return the run once it has ended.

        Raises:
            JournalUnavailable: The database is away.
        """
        ended: asyncio.Future[Run] = asyncio.get_running_loop().create_future()
        async with self._listening(run_id):
            self._waiting[run_id].add(ended)
            self._ask(run_id)
            try:
                return await ended
            finally:
                self._waiting[run_id].discard(ended)
                if not self._waiting[run_id]:
                    del self._waiting[run_id]

    @asynccontextmanager
    async def _listening(self, run_id: str) -> AsyncIterator[None]:
        task = asyncio.create_task(self._listen(run_id))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _listen(self, run_id: str) -> None:
        notices = self._wakeups.listen(ended_channel(run_id))
        try:
            async for _ in notices:
                self._ask(run_id)
        finally:
            close = getattr(notices, "aclose", None)
            if close is not None:
                await close()

    def _ask(self, run_id: str) -> None:
        self._asked.add(run_id)
        self._work.set()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_while_awaited())

    async def _look_while_awaited(self) -> None:
        while self._waiting:
            due = await self._due()
            try:
                ended = await self._journal.ended(due)
            except Exception as error:  # noqa: BLE001 - a waiter that is never told hangs its caller
                self._fail(due, error)
            else:
                self._tell(ended)
            await asyncio.sleep(0)  # those who were told leave before the next look

    async def _due(self) -> list[str]:
        """Wait for a reason to look; return the runs that there is one for."""
        patience = max(_LOOK_SECONDS, _LOOK_SECONDS_PER_RUN * len(self._waiting))
        try:
            async with asyncio.timeout(patience):
                await self._work.wait()
        except TimeoutError:
            return list(self._waiting)
        self._work.clear()
        asked, self._asked = self._asked, set()
        return list(asked)

    def _tell(self, ended: Collection[Run]) -> None:
        for run in ended:
            for future in self._waiting.get(run.run_id, ()):
                if not future.done():
                    future.set_result(run)

    def _fail(self, run_ids: Collection[str], error: Exception) -> None:
        for run_id in run_ids:
            for future in self._waiting.get(run_id, ()):
                if not future.done():
                    future.set_exception(error)
