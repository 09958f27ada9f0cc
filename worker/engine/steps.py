"""The durable step runner: recorded results come back at once, new ones are executed and kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from envelope.approval import Approval, ApprovalRequest
from envelope.canonical import canonical_json
from envelope.envelope import Envelope
from envelope.errors import Cancelled, NonDeterminism, WaitTimedOut
from envelope.failure import Failure, StepFailed
from envelope.ports.journal_rows import (
    SETTLED_STATES,
    Hint,
    RunState,
    Signal,
    Step,
    StepState,
)
from envelope.ports.journal_writes import NewEvent
from envelope.resources import Resources
from orchestrators.steps import ChildCall, StepCall
from worker.engine.approvals import RunApprovals, consent
from worker.engine.children import Children
from worker.engine.execution import RunExecution, Stop
from worker.engine.history import History
from worker.engine.inline_step import InlineStep
from worker.engine.masking import masked_json
from worker.engine.parts import EngineParts
from worker.engine.permit import HeldPermit, permit_ask
from worker.engine.persist import until_written
from worker.engine.run_journal import RunJournal
from worker.engine.run_lock import held_lock
from worker.engine.waiting import WaitingSteps
from worker.engine.waits import RunWaits
from worker.engine.writes import Writes, queued, recorded_value

_NOT_KEPT = StepState.FAILED
"""The state of a recorded value that a run which repeats this one must not take over."""


class DurableSteps:
    """Implements `orchestrators.steps.StepRunner` for one claimed run.

    Args:
        parts: What the process provides.
        waiting: The queued steps that this process waits for.
        execution: The run.
        history: What it recorded before.
        waits: What it waits for besides steps.
        execute_here: Executes a child run in this process, where there is no queue.
    """

    def __init__(
        self,
        parts: EngineParts,
        waiting: WaitingSteps,
        execution: RunExecution,
        history: History,
        waits: RunWaits,
        execute_here: Callable[[str], None],
    ) -> None:
        self._parts = parts
        self._waiting = waiting
        self._execution = execution
        self._history = history
        execution.unread = history.unread
        self._waits = waits
        self._approvals = RunApprovals(parts, execution, waits)
        self._children = Children(parts, execution, execute_here)
        self._journal = RunJournal(parts, execution)
        self._callers: dict[str, str] = {}
        self._shared: set[str] = set()

    @property
    def replaying(self) -> bool:
        """Whether recorded steps remain that the flow has not met again."""
        return self._history.replaying

    async def run(self, call: StepCall) -> Envelope:
        """Return the step's envelope, recorded or fresh."""
        try:
            return await self._run(call)
        except StepFailed as failed:
            await self._cancellation_first(failed)
            raise

    async def _run(self, call: StepCall) -> Envelope:
        recorded = await self._meet(call)
        if recorded is not None and recorded.state in SETTLED_STATES:
            await asyncio.sleep(0)  # branches of a replay start in the order of the first time
            return self._outcome(recorded)
        await self._execution.boundary()
        with self._execution.working(), self._execution.settling():
            if recorded.inline if recorded else self._is_inline(call):
                return await self._run_inline(call, recorded)
            return await self._run_queued(call, recorded)

    async def sleep(self, slot: str, seconds: float) -> None:
        """Wait until the time that was set when this slot was first met."""
        known = self._history.value(slot)
        if known is not None and float(json.loads(known)) <= self._execution.now:
            await asyncio.sleep(0)
            return  # it belongs to the recorded past
        await self._execution.boundary()
        await self._waits.sleep(self._deadline(slot, seconds))

    async def receive(self, slot: str, signal: str, timeout: float | None) -> Any:  # noqa: ASYNC109 - durable
        """Return the data of the next signal, or of the one recorded here."""
        known = self._history.value(slot)
        if known is not None:
            return _received(signal, json.loads(known))
        await self._execution.boundary()
        until = None if timeout is None else self._deadline(f"{slot}?", timeout, _NOT_KEPT)
        found = await self._waits.signal(signal, until)
        result = _signal_result(found)
        kept = StepState.SUCCEEDED if found is not None else _NOT_KEPT
        self._journal.submit(recorded_value(slot, "signal", result, kept))
        return _received(signal, result)

    async def approve(self, slot: str, request: ApprovalRequest) -> Approval:
        """Return the consent that was recorded here, or ask for it and record the decision."""
        known = self._history.value(slot)
        if known is None:
            await self._execution.boundary()
            decision = await self._approvals.decision(slot, request)
            self._journal.submit(recorded_value(slot, "approval", decision, _NOT_KEPT))
            return consent(decision)
        return consent(json.loads(known))

    async def child(self, call: ChildCall) -> Envelope:
        """Start a child run once, wait for its end, keep its outcome."""
        try:
            return await self._child(call)
        except StepFailed as failed:
            await self._cancellation_first(failed)
            raise

    async def _child(self, call: ChildCall) -> Envelope:
        known = self._history.value(call.slot)
        if known is None:
            await self._execution.boundary()
            with self._execution.working():
                run_id = await self._children.start(call)
            ended = await self._waits.child(run_id)
            known = self._children.outcome(ended)
            kept = StepState.SUCCEEDED if ended.state is RunState.SUCCEEDED else _NOT_KEPT
            self._journal.submit(recorded_value(call.slot, "child", json.loads(known), kept))
        return self._children.envelope(call, known)

    async def _cancellation_first(self, failed: StepFailed) -> None:
        """What was stopped because the run was cancelled may be heard of before the cancellation.

        The run must not fail of it.
        """
        if failed.failure.code != Cancelled.code or self._execution.undoing:
            return
        journal, run_id = self._parts.journal, self._execution.run.run_id
        run = await until_written(lambda: journal.run(run_id), self._parts.log)
        if run is not None and run.cancel_reason is not None:
            await self._execution.cancelled(run.cancel_reason)

    async def once(self, slot: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return the value recorded under `slot`, or make, record and return it."""
        known = self._history.value(slot)
        if known is None:
            await self._execution.boundary()
            with self._execution.working():
                known = canonical_json(await make())
            self._journal.submit(recorded_value(slot, "once", json.loads(known)))
        return json.loads(known)

    @property
    def resources(self) -> Resources:
        """What the process provides."""
        return self._parts.resources

    @asynccontextmanager
    async def lock(self, key: str) -> AsyncIterator[None]:
        """Hold a lock of the cluster in the name of the run."""
        await self._execution.boundary()
        async with held_lock(self._parts, self._execution, key, "ctx.lock"):
            yield

    def value(self, slot: str, kind: str, make: Callable[[], str]) -> str:
        """Return the recorded value, or make one and record it before any later step."""
        return self._value(slot, kind, make, StepState.SUCCEEDED)

    def emit(self, origin: str, event: str, data: Mapping[str, Any]) -> None:
        """Append an event, once per `origin`."""
        if not self._history.emitted(origin):
            told = masked_json(self._parts.redactor, data)
            new = NewEvent(type=event, data=told, origin=origin)
            self._journal.submit(Writes(events=(new,)))
            self._parts.telemetry.emitted(event, data.get("agent"))

    def abandon(self, prefix: str) -> None:
        """Note that steps below `prefix` were given up by the flow."""
        self._history.abandon(prefix)

    async def _meet(self, call: StepCall) -> Step | None:
        """Recognise a step; a changed flow ends the run, whatever its code would catch."""
        recorded: Step | None = None
        try:
            recorded = self._history.meet(call)
            if self._in_order(call) and recorded is None:
                self._history.check_new(call)
        except NonDeterminism as error:
            await self._execution.abort(Stop.BROKEN, error)
        return recorded

    def _in_order(self, call: StepCall) -> bool:
        """Whether one task alone asks for the steps of this stretch of the flow."""
        scope, task = call.slot.rpartition("/")[0], asyncio.current_task()
        name = task.get_name() if task else ""
        if self._callers.setdefault(scope, name) != name:
            self._shared.add(scope)
        return scope not in self._shared

    def _is_inline(self, call: StepCall) -> bool:
        here = self._parts.queue is None or call.agent.name in self._parts.steps_here
        return call.inline or here

    async def _run_inline(self, call: StepCall, recorded: Step | None) -> Envelope:
        attempt = recorded.attempt + 1 if recorded else 1
        parts, execution, journal = self._parts, self._execution, self._journal
        async with HeldPermit(parts, permit_ask(execution.run, call.slot, call.agent)) as held:
            await execution.boundary()
            with execution.busy():
                step = InlineStep(parts, execution, journal, call, attempt, self._kind, held)
                made = await step.run()
        self._execution.usage += made.metadata.usage
        return made

    async def _run_queued(self, call: StepCall, recorded: Step | None) -> Envelope:
        """Publish the step, or adopt the one in flight, and wait until it is settled."""
        in_flight = recorded is not None and recorded.state is StepState.RUNNING
        ask = permit_ask(self._execution.run, call.slot, call.agent)
        with self._waiting.expect(self._hint(call), ask) as expected:
            if recorded is None:
                await self._journal.commit(queued(call, self._kind))
            if not in_flight:
                self._waiting.publish(expected)
            return self._outcome(await expected.step)

    @property
    def _kind(self) -> str:
        return "undo" if self._execution.undoing else "agent"

    def _value(self, slot: str, kind: str, make: Callable[[], str], state: StepState) -> str:
        known = self._history.value(slot)
        if known is not None:
            return str(json.loads(known))
        made = make()
        self._journal.submit(recorded_value(slot, kind, made, state))
        return made

    def _deadline(self, slot: str, seconds: float, state: StepState = StepState.SUCCEEDED) -> float:
        """Return the time, by the journal's clock, that was set when `slot` was first met."""
        made = self._value(slot, "until", lambda: repr(self._execution.now + seconds), state)
        return float(made)

    def _hint(self, call: StepCall) -> Hint:
        run = self._execution.run
        return Hint(
            run_id=run.run_id,
            flow=run.flow,
            priority=run.priority,
            step=call.slot,
            agent=call.agent.name,
            trace_id=run.trace_id,
        )

    def _outcome(self, step: Step) -> Envelope:
        if step.failure is not None:
            raise StepFailed(Failure.model_validate_json(step.failure), step.result)
        made = Envelope.from_json(step.result or "", max_bytes=None)
        self._execution.usage += made.metadata.usage
        return made


def _signal_result(signal: Signal | None) -> dict[str, Any]:
    if signal is None:
        return {"number": None}
    return {"run": signal.run_id, "number": signal.number, "data": json.loads(signal.data)}


def _received(name: str, result: Mapping[str, Any]) -> Any:
    if result["number"] is None:
        raise WaitTimedOut(f"No signal {name!r} came within the time that the flow gave it.")
    return result["data"]
