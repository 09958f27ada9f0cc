"""Gets accepted runs under way: a message each, or executed here where there is no queue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from control.in_process import InProcessRunner
from envelope.errors import JournalUnavailable, QueueUnavailable
from envelope.ports.journal_rows import Hint, Run
from envelope.ports.journal_writes import NewRun
from envelope.resources import Resources
from worker.backend import Backend

_TAKEN_SECONDS = 0.02
"""Within which an idle worker takes a run. Noting at once that a message went out would only make
the worker wait for the run's row; until it is noted, a reconciler may send a second message."""


class Dispatcher:
    """Sends hints over the backend's queue; without one it executes their runs.

    Args:
        backend: Where runs are kept and sent to.
        resources: What agents ask for, where runs are executed here.
    """

    def __init__(self, backend: Backend, resources: Resources) -> None:
        self._backend = backend
        self._resources = resources
        self._runner: InProcessRunner | None = None
        self._starting = asyncio.Lock()
        self._sent: list[str] = []
        self._noting: asyncio.Task[None] | None = None

    async def send(self, hints: Sequence[Hint]) -> str | None:
        """Get runs under way; return why none was sent. The journal has them either way."""
        if not hints:
            return None
        if self._backend.queue is None:
            await self._execute(hints)
            return None
        try:
            await self._backend.queue.enqueue(hints)
        except QueueUnavailable as error:
            return str(error)
        self._sent += [hint.run_id for hint in hints]
        if self._noting is None or self._noting.done():
            self._noting = asyncio.create_task(self._note_sent(), name="muster-note-sent")
        return None

    async def close(self) -> None:
        """Stop what is executed here, and note what was sent."""
        if self._noting is not None:
            await self._noting
        if self._runner is not None:
            await self._runner.close()

    async def _note_sent(self) -> None:
        while self._sent:
            await asyncio.sleep(_TAKEN_SECONDS)
            run_ids, self._sent = self._sent, []
            with suppress(JournalUnavailable):  # a reconciler sends them again, once
                await self._backend.journal.mark_sent(run_ids)

    async def _execute(self, hints: Sequence[Hint]) -> None:
        async with self._starting:
            if self._runner is None:
                self._runner = await InProcessRunner.start(self._backend, self._resources)
        await asyncio.gather(*(self._runner.execute(hint.run_id) for hint in hints))


def hint_of(run: NewRun | Run) -> Hint:
    """Return what a message for a run is made of."""
    return Hint(run_id=run.run_id, flow=run.flow, priority=run.priority, trace_id=run.trace_id)
