"""What a run waits for besides steps: a time, a signal, a child. A long wait leaves the process.

Short waits end here. When nothing of the run is under way but waits, for a second, the run is
suspended: its coroutine is dropped and the journal wakes it when the first of what it waits for has
come. It is then replayed up to here, on whichever worker.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from envelope.ports.journal_rows import Run, Signal, Waits
from worker.engine.execution import RunExecution
from worker.engine.history import History
from worker.engine.parts import EngineParts


@dataclass(slots=True, eq=False)
class _Wait:
    """One place in the flow that waits; `answer` is None when its time came first."""

    until: float | None = None
    signal: str | None = None
    child: str | None = None
    answer: asyncio.Future[Any] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def resolve(self, answer: Any) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)


class RunWaits:
    """The waits of one claimed run.

    Args:
        parts: What the process provides.
        execution: The run.
        history: Tells which signals were consumed before.
        signals: All that had come when the run was claimed.
    """

    def __init__(
        self,
        parts: EngineParts,
        execution: RunExecution,
        history: History,
        signals: Sequence[Signal],
    ) -> None:
        self._parts = parts
        self._execution = execution
        self._pending: list[_Wait] = []
        self._seen = 0
        self._consumed: Counter[str] = Counter()
        self._arrived: list[Signal] = []
        self._known = _consumed_before(execution.run.run_id, history)
        self._timer: asyncio.TimerHandle | None = None
        self._take(signals)
        execution.on_idle = self._consider

    async def sleep(self, until: float) -> None:
        """Return at that time of the journal's clock."""
        await self._wait(_Wait(until=until))

    async def signal(self, name: str, until: float | None) -> Signal | None:
        """Return the next signal of that name; None when `until` comes first."""
        kept = next((signal for signal in self._arrived if signal.name == name), None)
        if kept is None:
            found: Signal | None = await self._wait(_Wait(until=until, signal=name))
            return found
        self._consume(kept)
        return kept

    async def child(self, run_id: str) -> Run:
        """Return the child once it has ended."""
        wait = _Wait(child=run_id)
        await self._look_for_children([wait])
        ended: Run = await self._wait(wait)
        return ended

    async def look(self) -> None:
        """Find what came while nobody told."""
        if any(wait.signal for wait in self._pending):
            self._take(await self._parts.journal.signals(self._execution.run.run_id, self._seen))
        await self._look_for_children(self._pending)

    def conditions(self) -> Waits:
        """Return what the journal shall wake the run for."""
        times = [wait.until for wait in self._pending if wait.until is not None]
        names = {wait.signal for wait in self._pending if wait.signal is not None}
        return Waits(
            until=min(times, default=None),
            signals={name: self._consumed[name] for name in sorted(names)},
            children=[wait.child for wait in self._pending if wait.child is not None],
        )

    def close(self) -> None:
        """Suspend no more: the flow has ended."""
        self._execution.on_idle = None
        self._stop_timer()

    async def _wait(self, wait: _Wait) -> Any:
        handle = None
        if wait.until is not None:
            seconds = max(0.0, wait.until - self._execution.now)
            handle = asyncio.get_running_loop().call_later(seconds, wait.resolve, None)
        self._pending.append(wait)
        self._consider()
        try:
            return await wait.answer
        finally:
            self._pending.remove(wait)
            self._consider()
            if handle is not None:
                handle.cancel()

    def _take(self, signals: Sequence[Signal]) -> None:
        """Keep new signals, and give them to those who wait, in order."""
        for signal in signals:
            if signal.number <= self._seen:
                continue
            self._seen = signal.number
            if signal.number in self._known:
                self._consumed[signal.name] += 1
            else:
                self._arrived.append(signal)
        for wait in self._pending:
            found = (signal for signal in self._arrived if signal.name == wait.signal)
            kept = None if wait.answer.done() else next(found, None)
            if kept is not None:
                self._consume(kept)
                wait.resolve(kept)

    def _consume(self, signal: Signal) -> None:
        self._arrived.remove(signal)
        self._consumed[signal.name] += 1

    async def _look_for_children(self, waits: Sequence[_Wait]) -> None:
        waiting = {wait.child: wait for wait in waits if wait.child and not wait.answer.done()}
        if waiting:
            for run in await self._parts.journal.ended(list(waiting)):
                waiting[run.run_id].resolve(run)

    def _consider(self) -> None:
        """Suspend the run in a while if it still does nothing but wait then."""
        self._stop_timer()
        if self._parts.queue is None or not self._pending or not self._execution.idle:
            return  # where there is no queue, nobody could resume it
        if self._execution.undoing:
            return  # a compensation is seen through
        loop = asyncio.get_running_loop()
        due = loop.time() + self._parts.suspend_after_seconds
        self._timer = loop.call_at(due, self._suspend, due)

    def _suspend(self, due: float) -> None:
        late = asyncio.get_running_loop().time() - due
        if late > self._parts.suspend_after_seconds / 2:
            self._consider()  # the loop was held up: what looks idle may not have had its turn
            return
        soon = self._execution.now + self._parts.suspend_after_seconds
        waits = [wait for wait in self._pending if not wait.answer.done()]
        if len(waits) < len(self._pending) or not self._execution.idle:
            return
        if any(wait.until is not None and wait.until <= soon for wait in waits):
            self._consider()
            return
        self._execution.suspend(self.conditions())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _consumed_before(run_id: str, history: History) -> set[int]:
    """Return the numbers of the signals of this very run that it consumed.

    What was taken over from the run that it repeats were that one's signals.
    """
    recorded = [json.loads(text) for text in history.recorded("signal")]
    return {known["number"] for known in recorded if known.get("run") == run_id}
