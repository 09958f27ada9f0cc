"""A run while this process executes it: its task, its fence, and why it was stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from enum import StrEnum
from typing import NoReturn

from envelope.envelope import Envelope
from envelope.failure import StepFailed
from envelope.ports.journal_rows import Claim, Waits
from envelope.usage import Usage
from worker.engine.hold import Hold


class Stop(StrEnum):
    """Why a run's coroutine was stopped before its end, and so what the engine does next."""

    CANCELLED = "cancelled"  # commit the terminal state
    RELEASED = "released"  # give the run back: another worker goes on
    SUSPENDED = "suspended"  # it waits for what may take long: nobody needs to hold it
    FENCED = "fenced"  # write nothing: another worker has it
    BROKEN = "broken"  # fail the run with the error that the flow must not catch


class Span:
    """Calls `ended` at the end of a `with`, with the type of the error that ends it, if any.

    A step passes through three: as generators they would cost a tenth of it.
    """

    __slots__ = ("_ended",)

    def __init__(self, ended: Callable[[type[BaseException] | None], None]) -> None:
        self._ended = ended

    def __enter__(self) -> None:
        """It has begun already."""

    def __exit__(self, error: type[BaseException] | None, *_more: object) -> None:
        self._ended(error)


class RunExecution:
    """One claimed run.

    Flow code never sees a fence, a drain or a broken replay as an exception that it could catch:
    the coroutine is cancelled, what asked for the step waits until that has happened, and nothing
    new begins. Only a cancelled run may still begin steps, which undo what it did.

    Args:
        claim: The run, as it was claimed.
        hold: The process's hold on its lease.
        alone: Whether the run has this process to itself, being suspected of killing others. It
            gives the run back as soon as a step is settled: that is what clears it.
    """

    def __init__(self, claim: Claim, hold: Hold, *, alone: bool = False) -> None:
        self.run = claim.run
        self.epoch = claim.run.epoch
        self.usage = Usage()
        self.stop_reason: Stop | None = None
        self.stop_detail: str | None = None
        self.error: BaseException | None = None
        self.waits: Waits | None = None
        self.on_idle: Callable[[], None] | None = None
        self.unread: Callable[[], int] = lambda: 0
        self._task: asyncio.Task[Envelope] | None = None
        self._hold = hold
        self.ended = asyncio.Event()
        self._to_cancel = claim.run.cancel_reason
        self._clock_offset = (claim.now or time.time()) - time.monotonic()
        self._busy = 0
        self._working = 0
        self._draining = False
        self._alone = alone
        self._cleared = False

    @property
    def now(self) -> float:
        """The present time by the journal's clock, as it was at the claim and ran on since."""
        return self._clock_offset + time.monotonic()

    @property
    def undoing(self) -> bool:
        """Whether the flow was told of its cancellation: what it does now is compensation."""
        return self.stop_reason is Stop.CANCELLED

    @property
    def idle(self) -> bool:
        """Whether no step, child or write of the run is under way."""
        return not self._working

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
        elif self.undoing and reason in _LEAVES_TO_OTHERS:
            self.stop_reason = reason  # another worker, or nobody, goes on to compensate
        elif reason is Stop.CANCELLED:
            return  # asked for again while it compensates
        if self._task is not None:
            self._task.cancel()

    async def abort(self, reason: Stop, error: BaseException | None = None) -> NoReturn:
        """Stop the run from within one of its steps; never returns to flow code."""
        if self.stop_reason is None:
            self.error = error
        self.stop(reason)
        await _for_ever()

    async def cancelled(self, reason: str) -> None:
        """Stop the run because somebody cancelled it; never returns to flow code."""
        await self._tell_cancelled(reason)

    def suspend(self, waits: Waits) -> None:
        """Drop the run until the first of what it waits for has come."""
        self.waits = waits
        self.stop(Stop.SUSPENDED)

    def drain(self) -> None:
        """Give the run back at the next boundary: when no inline step is in flight."""
        self._draining = True
        if not self._busy:
            self.stop(Stop.RELEASED)

    async def boundary(self) -> None:
        """Let something new begin, unless the run is stopped or is being given back.

        A run that was claimed after somebody cancelled it is told so here, where its recorded
        past ends. A process whose lease may have lapsed begins nothing until it knows better.
        """
        await self._hold.assured()
        if self.stop_reason is not None and not self.undoing:
            raise asyncio.CancelledError
        if self._cleared and not self.undoing:
            self.drain()
        if self._draining:
            await _for_ever()
        if self._to_cancel is not None and not self.undoing:
            await self._tell_cancelled(self._to_cancel)

    def working(self) -> Span:
        """Mark what needs this process: while it lasts, the run is not suspended."""
        self._working += 1
        return Span(self._worked)

    def settling(self) -> Span:
        """Mark a step that is executed now, up to its committed outcome, good or bad."""
        return Span(self._settled)

    async def _tell_cancelled(self, reason: str) -> None:
        """Let other branches read back what they had done, or nobody would undo it."""
        left = -1
        while self.unread() not in {0, left}:
            left = self.unread()
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        self.stop(Stop.CANCELLED, reason)
        await _for_ever()

    def busy(self) -> Span:
        """Mark an inline step, from its start to its commit."""
        self._busy += 1
        return Span(self._not_busy)

    def _worked(self, _error: type[BaseException] | None) -> None:
        self._working -= 1
        if not self._working and self.on_idle is not None:
            self.on_idle()

    def _settled(self, error: type[BaseException] | None) -> None:
        if error is None or issubclass(error, StepFailed):
            self._cleared = self._alone

    def _not_busy(self, _error: type[BaseException] | None) -> None:
        self._busy -= 1
        if self._draining and not self._busy:
            self.stop(Stop.RELEASED)


_TURNS = 50
"""Turns of the loop in which a branch that reads its record meets at least one more step."""

_LEAVES_TO_OTHERS = frozenset({Stop.FENCED, Stop.RELEASED})


async def _for_ever() -> NoReturn:
    while True:
        await asyncio.get_running_loop().create_future()
