"""A run while this process executes it: its task, its fence, and why it was stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import NoReturn

from envelope.envelope import Envelope
from envelope.ports.journal_rows import Claim
from envelope.usage import Usage


class Stop(StrEnum):
    """Why a run's coroutine was stopped before its end, and so what the engine does next."""

    CANCELLED = "cancelled"  # commit the terminal state
    RELEASED = "released"  # give the run back: another worker goes on
    FENCED = "fenced"  # write nothing: another worker has it
    BROKEN = "broken"  # fail the run with the error that the flow must not catch


class RunExecution:
    """One claimed run.

    Flow code never sees a fence, a drain or a broken replay as an exception that it could catch:
    the coroutine is cancelled, and what asked for the step waits until that has happened.
    """

    def __init__(self, claim: Claim) -> None:
        self.run = claim.run
        self.epoch = claim.run.epoch
        self.usage = Usage()
        self.stop_reason: Stop | None = None
        self.stop_detail: str | None = None
        self.error: BaseException | None = None
        self._task: asyncio.Task[Envelope] | None = None
        self._busy = 0
        self._draining = False

    async def watch(self, task: asyncio.Task[Envelope]) -> None:
        """Wait for the flow's task to end; a cancellation of the waiter gives the run back."""
        self._task = task
        if self.stop_reason is not None:
            task.cancel()
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                self.stop(Stop.RELEASED)

    def stop(self, reason: Stop, detail: str | None = None) -> None:
        """Cancel the flow's coroutine; the first reason counts."""
        if self.stop_reason is None:
            self.stop_reason, self.stop_detail = reason, detail
        if self._task is not None:
            self._task.cancel()

    async def abort(self, reason: Stop, error: BaseException | None = None) -> NoReturn:
        """Stop the run from within one of its steps; never returns to flow code."""
        if self.stop_reason is None:
            self.error = error
        self.stop(reason)
        await _for_ever()

    def drain(self) -> None:
        """Give the run back at the next boundary: when no inline step is in flight."""
        self._draining = True
        if not self._busy:
            self.stop(Stop.RELEASED)

    async def boundary(self) -> None:
        """Let a new step begin, unless the run is being given back."""
        if self._draining:
            await _for_ever()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Mark an inline step, from its start to its commit."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            if self._draining and not self._busy:
                self.stop(Stop.RELEASED)


async def _for_ever() -> NoReturn:
    while True:
        await asyncio.get_running_loop().create_future()
