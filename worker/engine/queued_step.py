"""Executes steps that arrive on an agent's queue, wherever their run is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

from agents.context import StepContext
from agents.definition import AgentDefinition
from agents.execution import BeforeAttempt, execute
from agents.registry import AGENTS
from envelope.envelope import Envelope, Status
from envelope.errors import Cancelled, Fenced, LostTooOften
from envelope.failure import Failure, StepFailed
from envelope.ports.journal_rows import (
    SETTLED_STATES,
    Attempt,
    Step,
    StepClaim,
    StepState,
)
from envelope.ports.journal_writes import NewEvent, StepCommit
from worker.engine.cell import StepOrder
from worker.engine.isolation import suspected
from worker.engine.masking import masked_failure, masked_json
from worker.engine.metering import StepMeter
from worker.engine.parts import EngineParts
from worker.engine.permit import HeldPermit, permit_ask
from worker.engine.persist import uninterrupted, until_written
from worker.engine.step_context import step_context
from worker.engine.writes import Outcome, attempt_record, retried, settled_event


class QueuedSteps:
    """The agent side of a queued step: claim, execute, commit, wake the run's owner.

    Args:
        parts: What the process provides.
        settled_here: Told of settled steps whose run is executed by this very process.
    """

    def __init__(self, parts: EngineParts, settled_here: Callable[[Step], None]) -> None:
        self._parts = parts
        self._settled_here = settled_here
        self._executions: dict[tuple[str, str], _Execution] = {}

    @property
    def executing(self) -> int:
        """How many steps this process executes now."""
        return len(self._executions)

    def executes(self, run_id: str, step: str) -> bool:
        """Return whether this process executes that step."""
        return (run_id, step) in self._executions

    def revoke(self, run_id: str, step: str) -> None:
        """Stop a step whose run has ended or is cancelled."""
        execution = self._executions.get((run_id, step))
        if execution is not None:
            execution.revoke()

    async def execute(self, run_id: str, step: str) -> StepState | None:
        """Execute a step to its end.

        Returns the state that was committed; None when the step was not to be had (a duplicate
        message) or was taken from this process.
        """
        claim = await self._claimed(run_id, step)
        if claim is None:
            return None
        execution = _Execution(self._parts, claim, self._settled_here)
        self._executions[run_id, step] = execution
        try:
            with self._parts.telemetry.queued_step(claim):
                return await execution.run()
        finally:
            del self._executions[run_id, step]

    async def _claimed(self, run_id: str, step: str) -> StepClaim | None:
        """Claim a step. While the journal is away a claim may be committed, its answer lost."""
        attempts = count()

        async def claim() -> StepClaim | None:
            again = next(attempts) > 0 and not self.executes(run_id, step)
            worker_id = self._parts.worker_id
            return await self._parts.journal.claim_step(run_id, step, worker_id, again=again)

        return await until_written(claim, self._parts.log)


class _Execution:
    """One claimed step."""

    def __init__(
        self, parts: EngineParts, claim: StepClaim, settled_here: Callable[[Step], None]
    ) -> None:
        self._parts = parts
        self._settled_here = settled_here
        self._run = claim.run
        self._step = claim.step
        self._attempt = claim.step.attempt
        self._meter = StepMeter(parts, claim.run, claim.step.step)
        self._pending: set[asyncio.Task[Any]] = set()
        self._working: asyncio.Task[Outcome] | None = None
        self._revoked = False
        self._lapses = parts.hold.lapses

    async def run(self) -> StepState | None:
        agent = AGENTS.get(self._step.agent)
        try:
            ask = permit_ask(self._run, self._step.step, agent)
            async with HeldPermit(self._parts, ask) as held:
                if not await self._may_begin(held):
                    return None
                return await self._settle(await self._worked(agent, held))
        except asyncio.CancelledError:
            # Given back: another worker takes it.
            await uninterrupted(self._commit(StepState.QUEUED))
            raise

    async def _may_begin(self, held: HeldPermit) -> bool:
        """A process that was paused or cut off may have lost the step meanwhile, then its permit.

        In this order: whoever lost the step must not ask for the permit of its new executor.
        """
        hold = self._parts.hold
        await hold.assured()
        while self._lapses != hold.lapses:
            self._lapses = hold.lapses
            if await self._commit(StepState.RUNNING) is None:
                return False
            await held.assured()
        return True

    def revoke(self) -> None:
        self._revoked = True
        if self._working is not None:
            self._working.cancel()

    async def _worked(self, agent: AgentDefinition, held: HeldPermit) -> Outcome:
        """Work in a task of its own, so that a revocation can be told from a shutdown."""
        begun = time.monotonic()
        self._working = asyncio.create_task(self._outcome(agent, held, begun))
        if self._revoked:
            self._working.cancel()
        try:
            return await self._working
        except asyncio.CancelledError:
            self._working.cancel()
            if not self._revoked:
                raise
            stopped = self._failure(Cancelled("The step was stopped: its run was cancelled."))
            return Outcome(self._attempt, time.monotonic() - begun, None, stopped)

    async def _settle(self, outcome: Outcome) -> StepState | None:
        if self._pending:
            await asyncio.gather(*self._pending)
        event = settled_event(self._step.step, self._step.agent, outcome)
        record = attempt_record(self._step.step, self._parts.worker_id, outcome)
        state = await uninterrupted(self._commit(outcome.state, outcome, (event,), record))
        self._meter.committed()
        code = outcome.failure.code if outcome.failure else None
        meters = self._parts.telemetry.meters
        meters.step_settled(self._step.agent, str(outcome.state), outcome.seconds, code)
        return state

    async def _outcome(self, agent: AgentDefinition, held: HeldPermit, begun: float) -> Outcome:
        try:
            envelope, result = await self._executed(agent, held)
        except Exception as error:  # noqa: BLE001 - an agent may raise anything; it is recorded
            seconds, usage = time.monotonic() - begun, self._meter.usage
            return Outcome(self._attempt, seconds, None, self._failure(error), usage)
        failed = envelope.error if envelope.status is Status.ERROR else None
        seconds, usage = time.monotonic() - begun, self._meter.usage
        return Outcome(self._attempt, seconds, result, failed, usage)

    async def _executed(self, agent: AgentDefinition, held: HeldPermit) -> tuple[Envelope, str]:
        before_attempt = self._parts.limits.before_attempt(agent, held.assured)
        if suspected(self._parts, self._step.losses):
            return await self._executed_alone(before_attempt)
        done = await execute(
            agent,
            self._step.input,
            self._context,
            max_bytes=self._parts.settings.envelope_max_bytes,
            first_attempt=self._attempt,
            on_retry=self._retried,
            on_usage=self._meter.add,
            around=self._parts.telemetry.attempt,
            before_attempt=before_attempt,
        )
        self._attempt = done.attempt
        return done.envelope, done.json

    async def _executed_alone(self, before_attempt: BeforeAttempt) -> tuple[Envelope, str]:
        """In a process of its own: this step's executors died, and this process shall not."""
        cell, run, step = self._parts.cell, self._run, self._step
        order = StepOrder(
            run_id=run.run_id,
            flow=run.flow,
            step=step.step,
            agent=step.agent,
            attempt=step.attempt,
            tenant=run.tenant,
            user=run.user,
            thread=run.thread,
            allow_delivery=run.allow_delivery,
            trace_id=run.trace_id,
            origin_id=run.origin_id,
            executor=self._parts.worker_id,
            request=step.input,
        )
        await before_attempt(step.attempt)
        answer = await cell.step(order, self._emit) if cell else None
        if answer is None:
            losses = step.losses + 1
            raise LostTooOften(f"Its process died {losses} times in a row, the last time alone.")
        self._attempt = answer.attempt
        if answer.envelope is not None:
            self._meter.add(Envelope.from_json(answer.envelope).metadata.usage)
        if answer.failure or answer.envelope is None:
            raise StepFailed(answer.failure or self._failure(LostTooOften("It has no result.")))
        return Envelope.from_json(answer.envelope), answer.envelope

    async def _commit(
        self,
        state: StepState,
        outcome: Outcome | None = None,
        events: tuple[NewEvent, ...] = (),
        record: Attempt | None = None,
    ) -> StepState | None:
        """Write the outcome; a refusal means that the step is somebody else's now."""
        step = self._step
        commit = StepCommit(
            run_id=step.run_id,
            step=step.step,
            attempt=step.attempt,
            executor=self._parts.worker_id,
            state=state,
            result=outcome.result if outcome else None,
            failure=outcome.reason if outcome else None,
            seconds=outcome.seconds if outcome else 0.0,
            tokens=outcome.tokens if outcome else 0,
            usd=outcome.usage.cost_usd if outcome else 0.0,
            events=events,
            record=record,
        )
        journal, log = self._parts.journal, self._parts.log
        try:
            owner = await until_written(lambda: journal.commit_step(commit), log)
        except Fenced:
            log.warning("step.fenced", run=step.run_id, step=step.step)
            return None
        if owner == self._parts.worker_id and state in SETTLED_STATES:
            settled = replace(step, state=state, result=commit.result, failure=commit.failure)
            self._settled_here(settled)
        elif owner:
            self._parts.wakeups.notify(owner, f"{step.run_id} {step.step}")
        self._parts.wakeups.notify(step.run_id, "events")
        return state

    def _context(self, attempt: int) -> StepContext:
        self._attempt = attempt
        return step_context(
            self._parts,
            self._run,
            self._step.step,
            self._step.agent,
            attempt,
            emitter=self._emit,
            meter=self._meter,
            effects=self._parts.effects,
            claimed=self._step.attempt,
        )

    def _emit(self, event: str, data: dict[str, Any]) -> None:
        """Append an event without making the agent wait for it."""
        told = masked_json(self._parts.redactor, data)
        new = NewEvent(type=event, step=self._step.step, data=told)
        task = asyncio.ensure_future(self._commit(StepState.RUNNING, events=(new,)))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)

    async def _retried(self, attempt: int, error: BaseException, wait: float) -> None:
        self._attempt = attempt
        self._parts.telemetry.meters.step_retried(self._step.agent)
        writes = retried(
            self._step.step, self._step.agent, self._parts.worker_id, self._failure(error), wait
        )
        await self._commit(StepState.RUNNING, events=writes.events, record=writes.attempts[0])

    def _failure(self, error: BaseException) -> Failure:
        failure = Failure.of(
            error,
            step=self._step.step,
            agent=self._step.agent,
            attempt=self._attempt,
            traced=True,
        )
        return masked_failure(self._parts.redactor, failure)
