"""The durable step runner: recorded results come back at once, new ones are executed and kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from envelope.canonical import canonical_json
from envelope.envelope import Envelope
from envelope.errors import NonDeterminism
from envelope.failure import Failure, StepFailed
from envelope.ports.journal_rows import SETTLED_STATES, Hint, NewEvent, Step, StepState
from orchestrators.steps import StepCall
from worker.engine.execution import RunExecution, Stop
from worker.engine.history import History
from worker.engine.inline_step import InlineStep
from worker.engine.parts import EngineParts
from worker.engine.run_journal import RunJournal
from worker.engine.waiting import WaitingSteps
from worker.engine.writes import Writes, queued, recorded_value


class DurableSteps:
    """Implements `orchestrators.steps.StepRunner` for one claimed run.

    Args:
        parts: What the process provides.
        waiting: The queued steps that this process waits for.
        execution: The run.
        history: What it recorded before.
    """

    def __init__(
        self,
        parts: EngineParts,
        waiting: WaitingSteps,
        execution: RunExecution,
        history: History,
    ) -> None:
        self._parts = parts
        self._waiting = waiting
        self._execution = execution
        self._history = history
        self._journal = RunJournal(parts, execution)
        self._callers: dict[str, set[asyncio.Task[Any] | None]] = {}

    @property
    def replaying(self) -> bool:
        """Whether recorded steps remain that the flow has not met again."""
        return self._history.replaying

    async def run(self, call: StepCall) -> Envelope:
        """Return the step's envelope, recorded or fresh."""
        recorded = await self._meet(call)
        if recorded is not None and recorded.state in SETTLED_STATES:
            await asyncio.sleep(0)  # branches of a replay start in the order of the first time
            return self._outcome(recorded)
        await self._execution.boundary()
        if recorded.inline if recorded else self._is_inline(call):
            return await self._run_inline(call, recorded)
        return await self._run_queued(call, recorded)

    def value(self, slot: str, kind: str, make: Callable[[], str]) -> str:
        """Return the recorded value, or make one and record it before any later step."""
        known = self._history.value(slot)
        if known is not None:
            return str(json.loads(known))
        made = make()
        self._journal.submit(recorded_value(slot, kind, made))
        return made

    def emit(self, origin: str, event: str, data: Mapping[str, Any]) -> None:
        """Append an event, once per `origin`."""
        if not self._history.emitted(origin):
            new = NewEvent(type=event, data=canonical_json(data), origin=origin)
            self._journal.submit(Writes(events=(new,)))

    def abandon(self, prefix: str) -> None:
        """Note that steps below `prefix` were given up by the flow."""
        self._history.abandon(prefix)

    async def _meet(self, call: StepCall) -> Step | None:
        """Recognise a step; a changed flow ends the run, whatever its code would catch."""
        callers = self._callers.setdefault(call.slot.rpartition("/")[0], set())
        callers.add(asyncio.current_task())
        recorded: Step | None = None
        try:
            recorded = self._history.meet(call)
            if recorded is None and len(callers) == 1:
                self._history.check_new(call)
        except NonDeterminism as error:
            await self._execution.abort(Stop.BROKEN, error)
        return recorded

    def _is_inline(self, call: StepCall) -> bool:
        here = self._parts.queue is None or call.agent.name in self._parts.steps_here
        return call.inline or here

    async def _run_inline(self, call: StepCall, recorded: Step | None) -> Envelope:
        attempt = recorded.attempt + 1 if recorded else 1
        step = InlineStep(self._parts, self._execution, self._journal, call, attempt)
        async with self._parts.limits.slot(call.agent):
            await self._execution.boundary()
            with self._execution.busy():
                made = await step.run()
        self._execution.usage += made.metadata.usage
        return made

    async def _run_queued(self, call: StepCall, recorded: Step | None) -> Envelope:
        """Publish the step, or adopt the one in flight, and wait until it is settled."""
        in_flight = recorded is not None and recorded.state is StepState.RUNNING
        with self._waiting.expect(self._hint(call)) as settled:
            if recorded is None:
                await self._journal.commit(queued(call))
            if not in_flight:
                self._waiting.publish(settled.hint)
            return self._outcome(await settled.step)

    def _hint(self, call: StepCall) -> Hint:
        run = self._execution.run
        return Hint(
            run_id=run.run_id,
            flow=run.flow,
            priority=run.priority,
            step=call.slot,
            agent=call.agent.name,
        )

    def _outcome(self, step: Step) -> Envelope:
        if step.failure is not None:
            raise StepFailed(Failure.model_validate_json(step.failure), step.result)
        made = Envelope.from_json(step.result or "", max_bytes=None)
        self._execution.usage += made.metadata.usage
        return made
