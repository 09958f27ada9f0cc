"""Many steps of one agent: so many at a time, their results in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator

from envelope.envelope import Envelope
from envelope.errors import InvalidInput
from envelope.failure import StepFailed
from envelope.ports.context import OnError
from orchestrators.steps import StepCall, StepRunner

_MOST_EVENTS = 20


class StepMapping:
    """The steps under way, and the results that are not handed out yet.

    Args:
        steps: What runs a step.
        calls: The steps, taken one by one as places become free.
        limit: How many are under way at once.
        keep: How many may be under way or wait to be handed out; None for any number.
        on_error: Whether a failure ends everything or stands among the results.

    Raises:
        InvalidInput: `limit` is below 1.
    """

    def __init__(
        self,
        steps: StepRunner,
        calls: Iterator[StepCall],
        *,
        limit: int,
        keep: int | None,
        on_error: OnError,
    ) -> None:
        if limit < 1:
            raise InvalidInput(f"map: limit must be at least 1, not {limit}.")
        self._steps = steps
        self._calls = calls
        self._limit = limit
        self._keep = keep
        self._collects = on_error == "collect"
        self._window: deque[asyncio.Task[Envelope]] = deque()
        self._running = 0
        self._changed = asyncio.Event()
        self._error: BaseException | None = None

    async def results(self) -> AsyncGenerator[Envelope, None]:
        """Yield the envelopes in order. At the end, early or not, nothing is under way.

        Raises:
            StepFailed: A step failed, and failures are not collected.
        """
        try:
            more = True
            while more or self._window:
                more = more and self._start()
                while self._window and self._window[0].done() and self._error is None:
                    yield self._window.popleft().result()
                    more = more and self._start()
                if self._error is not None:
                    raise self._error
                if self._window:
                    await self._changed.wait()
                    self._changed.clear()
        finally:
            for task in self._window:
                task.cancel()
            await asyncio.gather(*self._window, return_exceptions=True)

    def _start(self) -> bool:
        """Start what there is room for; return whether there may be more."""
        while self._running < self._limit and not self._holds_enough():
            call = next(self._calls, None)
            if call is None:
                return False
            task = asyncio.create_task(self._run(call))
            self._running += 1
            task.add_done_callback(self._done)
            self._window.append(task)
        return True

    def _holds_enough(self) -> bool:
        return self._keep is not None and len(self._window) >= self._keep

    def _done(self, task: asyncio.Task[Envelope]) -> None:
        self._running -= 1
        if not task.cancelled() and self._error is None:
            self._error = task.exception()
        self._changed.set()

    async def _run(self, call: StepCall) -> Envelope:
        try:
            return await self._steps.run(call)
        except StepFailed as error:
            if not self._collects:
                raise
            return _as_envelope(error)


def _as_envelope(error: StepFailed) -> Envelope:
    if error.envelope_json is not None:
        return Envelope.from_json(error.envelope_json, max_bytes=None)
    return Envelope.from_error(error.failure, source=error.failure.agent or "map")


class Progress:
    """Tells how far a map is, in at most twenty events, once however often it is replayed."""

    def __init__(self, steps: StepRunner, group: str, agent: str, total: int | None) -> None:
        self._steps = steps
        self._group = group
        self._agent = agent
        self._total = total
        self._every = max(1, -(-(total or 0) // _MOST_EVENTS))
        self._done = 0

    def step(self) -> None:
        """Count one more result."""
        self._done += 1
        total = self._total
        if total is None or total < _MOST_EVENTS:
            return
        if self._done % self._every == 0 or self._done == total:
            data = {"agent": self._agent, "done": self._done, "total": total}
            self._steps.emit(f"{self._group}!{self._done}", "map.progress", data)
