"""Another process that is in the middle of a transaction."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.conformance.journal.making import Backend
from worker.journal.apply import Work, apply_batch
from worker.journal.connect import writer_engine
from worker.journal.urls import database_url


@contextmanager
def under_way(database: Backend, work: Work) -> Iterator[Callable[[], None]]:
    """An operation of another process, applied and not yet committed; call to commit it."""
    engine = writer_engine(database_url(database.url))
    try:
        with engine.connect() as connection:
            apply_batch(connection, [work])
            yield connection.commit
    finally:
        engine.dispose()


async def waits_for_lock(task: "asyncio.Task[Any]") -> None:
    """Give the writer time to run into the other's lock; it must not get past it."""
    await asyncio.wait([task], timeout=0.3)
    assert not task.done()
