"""One step executed in the run's own process, from its start to its commit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from agents.context import StepContext
from agents.execution import execute
from envelope.effect import Effect, Send, Sent
from envelope.envelope import Envelope, Status
from envelope.failure import Failure, StepFailed
from envelope.ports.effects import EffectOrigin, Effects
from envelope.ports.journal_writes import NewEvent
from orchestrators.steps import StepCall
from worker.engine.execution import RunExecution
from worker.engine.masking import masked_failure, masked_json
from worker.engine.metering import StepMeter
from worker.engine.parts import EngineParts
from worker.engine.permit import HeldPermit
from worker.engine.run_journal import RunJournal
from worker.engine.step_context import step_context
from worker.engine.writes import Outcome, Writes, retried, settled, started, started_event

_NOTE_AFTER_SECONDS = 0.05


class InlineStep:
    """Executes `call` and commits what came of it.

    That a step has started is noted by itself once it lasts, else along with its result: a quick
    step costs one commit, and a slow one is seen while it runs.
    """

    def __init__(
        self,
        parts: EngineParts,
        execution: RunExecution,
        journal: RunJournal,
        call: StepCall,
        first_attempt: int,
        kind: str,
        held: HeldPermit,
    ) -> None:
        self._parts = parts
        self._held = held
        self._execution = execution
        self._journal = journal
        self._call = call
        self._attempt = first_attempt
        self._kind = kind
        self._noted = False
        self._meter = StepMeter(parts, execution.run, call.slot)

    async def run(self) -> Envelope:
        """Return the step's envelope once it is committed.

        Raises:
            StepFailed: The agent failed for good, and that is committed.
        """
        begun = time.monotonic()
        timer = asyncio.get_running_loop().call_later(_NOTE_AFTER_SECONDS, self._note)
        try:
            envelope, outcome = await self._execute(begun)
        finally:
            timer.cancel()
        before = Writes() if self._noted else started_event(self._call, outcome.attempt)
        after = settled(self._call, self._kind, self._parts.worker_id, outcome)
        await self._journal.commit(before + after)
        self._meter.committed()
        self._tell(outcome)
        if outcome.failure is not None or envelope is None:
            raise StepFailed(outcome.failure or _nothing(), outcome.result)
        return envelope

    async def _execute(self, begun: float) -> tuple[Envelope | None, Outcome]:
        try:
            done = await execute(
                self._call.agent,
                self._call.request,
                self._context,
                max_bytes=self._parts.settings.envelope_max_bytes,
                first_attempt=self._attempt,
                on_retry=self._retried,
                on_usage=self._meter.add,
                around=self._parts.telemetry.attempt,
                before_attempt=self._parts.limits.before_attempt(
                    self._call.agent, self._held.assured
                ),
            )
        except Exception as error:  # noqa: BLE001 - an agent may raise anything; it is recorded
            failure = self._failure(error)
            seconds, usage = time.monotonic() - begun, self._meter.usage
            return None, Outcome(self._attempt, seconds, None, failure, usage)
        failed = done.envelope.error if done.envelope.status is Status.ERROR else None
        seconds, usage = time.monotonic() - begun, self._meter.usage
        outcome = Outcome(done.attempt, seconds, done.json, failed, usage)
        return done.envelope, outcome

    def _context(self, attempt: int) -> StepContext:
        self._attempt = attempt
        run, call = self._execution.run, self._call
        return step_context(
            self._parts,
            run,
            call.slot,
            call.agent.name,
            attempt,
            emitter=self._emit,
            meter=self._meter,
            effects=_StartedFirst(self._parts.effects, self._note),
        )

    def _emit(self, event: str, data: dict[str, Any]) -> None:
        self._note()
        told = masked_json(self._parts.redactor, data)
        new = NewEvent(type=event, step=self._call.slot, data=told)
        self._journal.submit(Writes(events=(new,)))

    def _retried(self, attempt: int, error: BaseException, wait: float) -> None:
        self._attempt = attempt
        self._parts.telemetry.meters.step_retried(self._call.agent.name)
        name, slot = self._call.agent.name, self._call.slot
        self._journal.submit(retried(slot, name, self._parts.worker_id, self._failure(error), wait))

    def _tell(self, outcome: Outcome) -> None:
        code = outcome.failure.code if outcome.failure else None
        name, meters = self._call.agent.name, self._parts.telemetry.meters
        meters.step_settled(name, str(outcome.state), outcome.seconds, code)

    def _note(self) -> None:
        if self._noted:
            return
        self._noted = True
        self._journal.submit(started(self._call, self._kind, self._attempt, self._parts.worker_id))

    def _failure(self, error: BaseException) -> Failure:
        failure = Failure.of(
            error,
            step=self._call.slot,
            agent=self._call.agent.name,
            attempt=self._attempt,
            traced=True,
        )
        return masked_failure(self._parts.redactor, failure)


class _StartedFirst:
    """Notes that a step has started before it acts.

    Events come in their order then, and the ledger can tell a compensation, which may act though
    its run is cancelled, from any other step.
    """

    def __init__(self, effects: Effects, note: Callable[[], None]) -> None:
        self._effects = effects
        self._note = note

    async def perform(self, origin: EffectOrigin, effect: Effect, send: Send) -> Sent:
        """Perform the effect of a step that has started."""
        self._note()
        return await self._effects.perform(origin, effect, send)


def _nothing() -> Failure:
    return Failure(code="TASK_EXECUTION_FAILED", message="The step has no result.")
