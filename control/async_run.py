"""A run in its caller's hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from control.event_pages import PAGE
from control.looking import Lookout
from control.outcome import RunTimeout, has_ended, outcome_of
from control.receipt import Receipt
from control.steering import Steering
from control.streaming import Piece, Stream
from envelope.envelope import Envelope
from envelope.errors import UnknownRun
from envelope.events import TERMINAL_EVENTS
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import (
    Event,
    Run,
    RunState,
    Signalled,
    Step,
)

_TERMINAL_NAMES = frozenset(event.value for event in TERMINAL_EVENTS)


class AsyncRun:
    """The handle of a run. Made by the client and the campaign manager.

    Attributes:
        id: The run's id.
        receipt: What the trigger got; None for a run that was looked up.
    """

    def __init__(
        self,
        run_id: str,
        journal: Journal,
        steering: Steering,
        lookout: Lookout,
        receipt: Receipt | None = None,
    ) -> None:
        self.id = run_id
        self.receipt = receipt
        self._journal = journal
        self._steering = steering
        self._lookout = lookout

    def __repr__(self) -> str:
        return f"<AsyncRun {self.id}>"

    async def row(self) -> Run:
        """Return the run as the journal has it now.

        Raises:
            UnknownRun: There is no such run.
        """
        return _known(self.id, await self._journal.run(self.id))

    async def steps(self) -> Sequence[Step]:
        """Return the run's steps in the order in which they were begun."""
        return await self._journal.steps(self.id)

    async def status(self) -> RunState:
        """Return the run's state; errors as `row`."""
        return (await self.row()).state

    async def ended(self, timeout: float | None = None) -> Run:  # noqa: ASYNC109 - public interface
        """Wait until the run has ended, however it did, and return it.

        Raises:
            RunTimeout: It has not ended within `timeout` seconds. It goes on.
            UnknownRun: There is no such run.
        """
        if self.receipt is None and has_ended(run := await self.row()):
            return run
        try:
            async with asyncio.timeout(timeout):
                return await self._lookout.endings.of(self.id)
        except TimeoutError as error:
            run = await self.row()
            if has_ended(run):
                return run
            if timeout is None:
                raise
            raise RunTimeout(self.id, timeout, run.state) from error

    async def result(self, timeout: float | None = None) -> Envelope:  # noqa: ASYNC109 - public interface
        """Wait for the run's envelope.

        Args:
            timeout: Seconds to wait; None waits until the run ends.

        Raises:
            RunFailed: The run failed, or is dead.
            RunCancelled: The run was cancelled.
            RunTimeout: It has not ended within `timeout` seconds. It goes on.
            UnknownRun: There is no such run.
        """
        return outcome_of(await self.ended(timeout))

    async def events(self, after: int = 0) -> AsyncIterator[Event]:
        """Yield the run's events in order as they come, those after `after` up to the terminal one.

        Raises:
            UnknownRun: There is no such run.
        """
        if has_ended(await self.row()):
            async for event in self._recorded(after):  # all there is: nothing to listen for
                yield event
            return
        async with self._lookout.news(self.id) as news:
            told = True
            while True:
                # Asked before the events are read: an ended run has all that it will ever have.
                ended = not told and has_ended(await self.row())
                async for event in self._recorded(after):
                    yield event
                    after = event.number
                    if event.type in _TERMINAL_NAMES:
                        return
                if ended:
                    return  # the caller had seen the end
                told = await news.wait()

    async def stream(self) -> AsyncIterator[Piece]:
        """Yield pieces of text from now on, as agents produce them with `ctx.stream`.

        They are for watching: some may be lost, and what has passed is not kept. What counts is in
        the events and in the envelope.

        Raises:
            UnknownRun: There is no such run.
        """
        ended = asyncio.ensure_future(self.ended())
        try:
            async for piece in Stream(self._lookout.wakeups, self.id).pieces(ended):
                yield piece
            if ended.done():
                ended.result()
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    async def signal(self, name: str, data: Any = None) -> Signalled:
        """Send the run a signal, which `ctx.wait_for(name)` of its flow returns.

        The signal is kept: it may come before the flow asks for it. A run that waits for it is
        woken at once.

        Args:
            name: The signal's name, 1 to 200 printable characters.
            data: Anything that is JSON.

        Raises:
            UnknownRun: There is no such run.
            RunEnded: The run has ended.
            InvalidInput: The name or the data cannot be sent.
            TooLarge: The data exceeds MUSTER_PAYLOAD_MAX_BYTES as JSON.
        """
        return await self._steering.signal(self.id, name, data)

    async def cancel(self, reason: str = "cancelled by the caller") -> RunState:
        """Cancel the run with all that it started, and return its state.

        A run that nobody executes is cancelled at once; a running one when its worker has
        stopped its agents, one that waits when a worker has let it compensate. A run that has ended
        stays as it is.

        Raises:
            UnknownRun: There is no such run.
        """
        return _known(self.id, await self._steering.cancel(self.id, reason)).state

    async def _recorded(self, after: int) -> AsyncIterator[Event]:
        while True:
            page = await self._lookout.pages.after(self.id, after)
            for event in page:
                yield event
            if len(page) < PAGE:
                return
            after = page[-1].number


def _known(run_id: str, run: Run | None) -> Run:
    if run is None:
        raise UnknownRun(f"There is no run {run_id!r}. `muster runs list` shows the newest ones.")
    return run
