"""A run in the hand of synchronous code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from control.async_run import AsyncRun
from control.loop_thread import LoopThread
from control.receipt import Receipt
from control.streaming import Piece
from envelope.envelope import Envelope
from envelope.ports.journal_rows import (
    Event,
    RunState,
    Signalled,
    Step,
)
from envelope.ports.journal_rows import Run as RunRow


class Run:
    """The handle of a run, for synchronous code. See `AsyncRun` for what each call means."""

    def __init__(self, run: AsyncRun, thread: LoopThread) -> None:
        self._run = run
        self._thread = thread

    def __repr__(self) -> str:
        return f"<Run {self.id}>"

    @property
    def id(self) -> str:
        """The run's id."""
        return self._run.id

    @property
    def receipt(self) -> Receipt | None:
        """What the trigger got; None for a run that was looked up."""
        return self._run.receipt

    def row(self) -> RunRow:
        """Return the run as the journal has it now."""
        return self._thread.call(self._run.row())

    def steps(self) -> Sequence[Step]:
        """Return the run's steps; see `AsyncRun.steps`."""
        return self._thread.call(self._run.steps())

    def status(self) -> RunState:
        """Return the run's state."""
        return self._thread.call(self._run.status())

    def result(self, timeout: float | None = None) -> Envelope:
        """Wait for the run's envelope; raises RunFailed, RunCancelled or RunTimeout."""
        return self._thread.call(self._run.result(timeout))

    def events(self, after: int = 0) -> Iterator[Event]:
        """Yield the run's events in order, from number `after` + 1 to the terminal one."""
        return self._thread.iterate(self._run.events(after))

    def stream(self) -> Iterator[Piece]:
        """Yield pieces of text as agents produce them; see `AsyncRun.stream`."""
        return self._thread.iterate(self._run.stream())

    def signal(self, name: str, data: Any = None) -> Signalled:
        """Send the run a signal, which `ctx.wait_for(name)` of its flow returns."""
        return self._thread.call(self._run.signal(name, data))

    def cancel(self, reason: str = "cancelled by the caller") -> RunState:
        """Cancel the run with all that it started, and return its state."""
        return self._thread.call(self._run.cancel(reason))
