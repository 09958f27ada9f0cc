"""Gives locks back, at once or as soon as Redis is there again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from envelope.errors import QueueUnavailable
from worker.coordination.locks.batch import Batch
from worker.coordination.locks.keys import CHANNEL, INDEX, keys_of
from worker.coordination.locks.scripts import Scripts

_AGAIN_SECONDS = 1.0


class Return(NamedTuple):
    """A lock that goes back where it is still the giver's, and an ask that leaves the queue.

    Attributes:
        name: The quoted key.
        owner: Whose it must be.
        by: The ask, or its process, that must have acquired it: the same owner may have acquired
            it again since, as a run does that moved to another process. Empty for any.
        leaves: The ask that leaves the queue.
    """

    name: str
    owner: str
    by: str = ""
    leaves: str = ""


class Returns:
    """Gives back; what is given back in one loop turn travels in one call."""

    def __init__(self, scripts: Scripts, log: Any) -> None:
        self._scripts = scripts
        self._log = log
        self._batch = Batch(self._send)
        self._later: set[asyncio.Task[None]] = set()

    async def now(self, given: Return) -> bool:
        """Give back and tell whoever is next; False where the giver did not have it.

        Raises:
            QueueUnavailable: Redis is away.
        """
        return await self._batch.put(given)

    def later(
        self, given: Return, deadline: float, after: asyncio.Future[Any] | None = None
    ) -> None:
        """Give back in the background, again and again until Redis answers.

        Args:
            given: What.
            deadline: When to stop, by the local monotonic clock: the lock has lapsed by then.
            after: A call under way that may still acquire the lock.
        """
        task = asyncio.create_task(self._insist(given, deadline, after))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def close(self) -> None:
        """Give back what can be given back now; the rest lapses."""
        for task in self._later:
            task.cancel()
        if self._later:
            await asyncio.wait(self._later)
        await self._batch.close()

    async def _insist(
        self, given: Return, deadline: float, after: asyncio.Future[Any] | None
    ) -> None:
        if after is not None:
            await asyncio.wait({after})
        while time.monotonic() < deadline:
            try:
                await self.now(given)
            except QueueUnavailable as error:
                self._log.debug("locks.return_delayed", error=str(error))
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return

    async def _send(self, batch: Sequence[Return]) -> list[bool]:
        keys = [INDEX, *(key for given in batch for key in keys_of(given.name))]
        told = [part for given in batch for part in given]
        replies = await self._scripts.run("give_back", keys, CHANNEL, *told)
        return [bool(reply) for reply in replies]
