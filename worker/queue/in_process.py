"""The queue within this process: a hint becomes a task on the event loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import structlog

from envelope.ports.journal_rows import Hint
from envelope.ports.queue import topic

log = structlog.get_logger(__name__)

Handler = Callable[[Hint], Awaitable[object]]


class InProcessQueue:
    """Hands each hint to `handler`, many at once, highest priority first, then in order.

    Args:
        handler: Executes the run or step that a hint names.
        workers: How many hints are handled at once.
    """

    def __init__(self, handler: Handler, workers: int = 100) -> None:
        self._handler = handler
        self._waiting: asyncio.PriorityQueue[tuple[int, int, Hint]] = asyncio.PriorityQueue()
        self._depths: Counter[str] = Counter()
        self._order = 0
        self._workers = workers
        self._tasks: list[asyncio.Task[None]] = []

    async def enqueue(self, hints: Sequence[Hint]) -> None:
        """Put each hint into its topic."""
        self._start()
        for hint in hints:
            self._order += 1
            self._depths[topic(hint)] += 1
            self._waiting.put_nowait((-hint.priority, self._order, hint))

    async def depth(self, topics: Sequence[str]) -> dict[str, int]:
        """Return how many hints wait in each topic."""
        return {name: self._depths[name] for name in topics}

    async def close(self) -> None:
        """Stop handling; what waits is dropped, as any broker may do."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._waiting = asyncio.PriorityQueue()
        self._depths.clear()

    def _start(self) -> None:
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]

    async def _work(self) -> None:
        while True:
            _, _, hint = await self._waiting.get()
            self._depths[topic(hint)] -= 1
            try:
                await self._handler(hint)
            except Exception:
                # As with a broker: whoever looks after runs sends it again, and others go on.
                log.exception("hint.failed", run=hint.run_id, step=hint.step)
