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
from worker.engine.first_sending import send_first


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

    async def send(self, hints: Sequence[Hint]) -> None:
        """Get runs under way that were queued again; the reconciler does it where this cannot."""
        if self._backend.queue is None:
            await self._execute(hints)
        elif hints:
            with suppress(QueueUnavailable, JournalUnavailable):
                await self._backend.queue.enqueue(hints)
                await self._backend.journal.mark_sent([hint.run_id for hint in hints])

    async def send_accepted(self, hints: Sequence[Hint]) -> str | None:
        """Get runs under way that were accepted with the note that they are being sent.

        Returns:
            Why none was sent; the journal has them all the same.
        """
        if self._backend.queue is None:
            await self._execute(hints)
        elif hints:
            return await send_first(self._backend.queue, self._backend.journal, hints)
        return None

    async def close(self) -> None:
        """Stop what is executed here."""
        if self._runner is not None:
            await self._runner.close()

    async def _execute(self, hints: Sequence[Hint]) -> None:
        if not hints:
            return
        async with self._starting:
            if self._runner is None:
                self._runner = await InProcessRunner.start(self._backend, self._resources)
        await asyncio.gather(*(self._runner.execute(hint.run_id) for hint in hints))


def hint_of(run: NewRun | Run) -> Hint:
    """Return what a message for a run is made of."""
    return Hint(run_id=run.run_id, flow=run.flow, priority=run.priority, trace_id=run.trace_id)
