"""The queued steps that runs of this process wait for.

A wake-up tells at once that a step is settled. Wake-ups and messages may be lost, executors may
die: one look for all waiting steps together, every second, finds that out and mends it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from envelope.errors import QueueUnavailable
from envelope.ports.journal_rows import (
    SETTLED_STATES,
    Hint,
    Step,
    StepState,
)
from envelope.ports.permits import PermitAsk
from envelope.ports.queue import topic
from worker.engine.parts import EngineParts
from worker.journal.sending import backoff

LOOK_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class Expected:
    """A step that somebody here waits for."""

    hint: Hint
    ask: PermitAsk
    step: asyncio.Future[Step]
    publishing: asyncio.Task[None] | None = None
    sends: int = 0
    sent_at: float = field(default_factory=time.monotonic)


class WaitingSteps:
    """All of them, by run and step.

    Args:
        parts: What the process provides.
        executes_here: Whether this very process executes a step, and so holds its permit.
    """

    def __init__(self, parts: EngineParts, executes_here: Callable[[str, str], bool]) -> None:
        self._parts = parts
        self._executes_here = executes_here
        self._expected: dict[tuple[str, str], Expected] = {}
        self._told: set[tuple[str, str]] = set()
        self._outbox: list[Hint] = []
        self._work = asyncio.Event()

    @contextmanager
    def expect(self, hint: Hint, ask: PermitAsk) -> Iterator[Expected]:
        """Wait for a step: `await expected.step` gives it once it is settled."""
        expected = Expected(hint, ask, asyncio.get_running_loop().create_future())
        name = _name(hint)
        self._expected[name] = expected
        try:
            yield expected
        finally:
            self._expected.pop(name, None)
            expected.step.cancel()
            if expected.publishing is not None:
                expected.publishing.cancel()
            self._give_back(ask)

    def publish(self, expected: Expected) -> None:
        """Send a step's message with the next batch, once the step has its permit."""
        expected.publishing = asyncio.create_task(self._publish(expected))

    async def _publish(self, expected: Expected) -> None:
        await self._parts.permits.acquire(expected.ask)
        self._outbox.append(expected.hint)
        self._work.set()

    def settled(self, step: Step) -> None:
        """Take a step that this process has settled itself."""
        self._resolve([step])

    def told(self, run_id: str, step: str) -> None:
        """Take a wake-up: the step may be settled."""
        if (run_id, step) in self._expected:
            self._told.add((run_id, step))
            self._work.set()

    def told_nothing(self) -> None:
        """Take the news that wake-ups may have been missed: look at every step."""
        self._told.update(self._expected)
        self._work.set()

    async def deliver_for_ever(self) -> None:
        """Send messages and fetch settled steps as they come, many at a time."""
        while True:
            await self._work.wait()
            self._work.clear()
            hints, self._outbox = self._outbox, []
            told, self._told = self._told, set()
            await self._send(hints)
            if told:
                self._resolve(await self._parts.journal.settled_steps(list(told)))

    async def look(self, *, may_judge: bool) -> None:
        """Find what was missed: settled steps, dead executors, lost messages.

        Args:
            may_judge: Whether this process may say that an executor is dead; see `Lease`.
        """
        if not self._expected:
            return
        names = list(self._expected)
        self._resolve(await self._parts.journal.settled_steps(names))
        names = [name for name in names if name in self._expected]
        if may_judge:
            await self._rescue(names)
        await self._resend()

    async def _rescue(self, names: Sequence[tuple[str, str]]) -> None:
        rescued = await self._parts.journal.rescue_steps(names, self._parts.settings.max_losses)
        self._resolve(rescued)
        self._parts.telemetry.meters.rescued("step", len(rescued))
        for step in rescued:
            known = self._expected.get(_name_of(step))
            if known is not None and step.state is StepState.QUEUED:
                self.publish(known)  # with the permit of the dead executor, or a new one

    async def _resend(self) -> None:
        """Send again what nobody took while its queue is empty: the message was lost."""
        queue = self._parts.queue
        late = [known for known in self._expected.values() if self._is_late(known)]
        free = await self._not_executed(late) if late else []
        if not free or queue is None:
            return
        try:
            depth = await queue.depth(sorted({topic(known.hint) for known in free}))
        except QueueUnavailable:
            return  # the next look tries again
        lost = [known.hint for known in free if not depth.get(topic(known.hint))]
        await self._send(lost)

    async def _not_executed(self, late: Sequence[Expected]) -> list[Expected]:
        """Leave out what somebody executes, and let go of the permit with which it was sent.

        An executor asks for the permit anew and is handed it. One whose lease had lapsed may have
        asked before this process did: its ask is lost, and it waits until the permit is free.
        """
        names = [_name(known.hint) for known in late]
        running = set(await self._parts.journal.running_steps(names))
        for known in late:
            if _name(known.hint) in running:
                known.sent_at = time.monotonic()
                self._give_back(known.ask)
        return [known for known in late if _name(known.hint) not in running]

    def _give_back(self, ask: PermitAsk) -> None:
        """Give a permit back; without effect where an executor elsewhere has taken it over."""
        if not self._executes_here(ask.run_id, ask.step):
            self._parts.permits.release(ask.agent, ask.run_id, ask.step)

    def _is_late(self, known: Expected) -> bool:
        if known.publishing is not None and not known.publishing.done():
            return False  # it has no permit yet
        patience = backoff(self._parts.settings.reissue_seconds, known.sends)
        return time.monotonic() - known.sent_at > patience

    async def _send(self, hints: Sequence[Hint]) -> None:
        queue = self._parts.queue
        if not hints or queue is None:
            return
        try:
            await queue.enqueue(hints)
        except QueueUnavailable as error:
            self._parts.log.warning("queue.away", error=str(error), steps=len(hints))
            return  # they stay late; the look sends them when the queue is back
        for hint in hints:
            known = self._expected.get(_name(hint))
            if known is not None:
                known.sends += 1
                known.sent_at = time.monotonic()

    def _resolve(self, steps: Sequence[Step]) -> None:
        for step in steps:
            known = self._expected.get(_name_of(step))
            if known and step.state in SETTLED_STATES and not known.step.done():
                known.step.set_result(step)


def _name(hint: Hint) -> tuple[str, str]:
    return hint.run_id, hint.step or ""


def _name_of(step: Step) -> tuple[str, str]:
    return step.run_id, step.step
