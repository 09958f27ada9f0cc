"""Reads, in a few threads of their own, so that they never wait for the writing one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine

from envelope.errors import JournalUnavailable
from worker.journal.connect import READERS
from worker.journal.trouble import DATABASE_ERRORS, is_away, refused, unavailable

T = TypeVar("T")

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 1.0


class Reader:
    """The reading threads of a journal.

    Args:
        engine: Gives a connection that reads without a transaction.
        patience: Seconds for which a read is tried again while the database is away.
    """

    def __init__(self, engine: Engine, patience: float) -> None:
        self._engine = engine
        self._patience = patience
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="muster-journal-read")
        self._closed = False

    async def read(self, query: Callable[[Connection], T]) -> T:
        """Return what the query finds.

        Raises:
            JournalUnavailable: The database stays away, or the journal is closed.
        """
        if self._closed:
            raise JournalUnavailable("The journal is closed. Open it before use.")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._attempt, query)

    def close(self) -> None:
        """Let the reads under way end, then end the threads. Blocks."""
        self._closed = True
        self._threads.shutdown()

    def _attempt(self, query: Callable[[Connection], T]) -> T:
        deadline = time.monotonic() + self._patience
        pause = _FIRST_PAUSE
        while True:
            try:
                with self._engine.connect() as connection:
                    return query(connection)
            except DATABASE_ERRORS as error:
                if not is_away(error):
                    raise refused(self._engine.url, error) from error
                if time.monotonic() >= deadline:
                    raise unavailable(self._engine.url, error) from error
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
