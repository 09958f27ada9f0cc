"""Executes runs: claim, replay, execute, end. The life of a run, as one flat pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from envelope.envelope import Envelope
from envelope.errors import Fenced
from envelope.ports.journal_rows import Claim, Commit, RunState
from envelope.signature import from_canonical
from orchestrators.context import FlowContext, RunFacts
from orchestrators.definition import FlowDefinition
from orchestrators.registry import FLOWS
from worker.engine.ending import Ending, ending_of
from worker.engine.execution import RunExecution, Stop
from worker.engine.history import History
from worker.engine.isolation import run_isolated, suspected
from worker.engine.parts import EngineParts
from worker.engine.persist import uninterrupted, until_written
from worker.engine.queued_step import QueuedSteps
from worker.engine.steps import DurableSteps
from worker.engine.waiting import WaitingSteps


class Engine:
    """The run engine of one process.

    Args:
        parts: Journal, queue, limits, resources.
    """

    def __init__(self, parts: EngineParts) -> None:
        self.parts = parts
        self.waiting = WaitingSteps(parts)
        self.steps = QueuedSteps(parts)
        self._running: dict[str, RunExecution] = {}
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def running(self) -> Mapping[str, RunExecution]:
        """The runs that this process executes now."""
        return self._running

    async def execute(self, run_id: str, *, from_owner: str | None = None) -> RunState | None:
        """Execute a run to its end, or until it is given back.

        Args:
            run_id: The run.
            from_owner: The living worker that hands it over.

        Returns the state that was committed; None when the run was not to be had, or was lost to
        another worker. A duplicate message therefore changes nothing.
        """
        if self._draining:
            return None
        claim = await self.parts.journal.claim(
            run_id, self.parts.worker_id, from_owner=from_owner, versions=FLOWS.versions()
        )
        if claim is None:
            return None
        if suspected(self.parts, claim.run.losses):
            return await run_isolated(self.parts, run_id, claim.run.epoch)
        return await self._execute(claim)

    def cancel(self, run_id: str, reason: str) -> None:
        """Stop a run of this process; its terminal state is committed when its code has ended."""
        execution = self._running.get(run_id)
        if execution is not None:
            execution.stop(Stop.CANCELLED, reason)

    async def drain(self) -> None:
        """Give every run back at its next step boundary; return when all have been."""
        self._draining = True
        for execution in list(self._running.values()):
            execution.drain()
        await self._idle.wait()

    async def _execute(self, claim: Claim) -> RunState | None:
        execution = RunExecution(claim)
        self._running[claim.run.run_id] = execution
        self._idle.clear()
        if self._draining:  # the drain began while the claim was under way
            execution.drain()
        log = self.parts.log.bind(run=claim.run.run_id, flow=claim.run.flow)
        log.info("run.started", epoch=execution.epoch, recorded=len(claim.steps))
        try:
            ending = await self._ending(execution, claim)
            state = await self._end(execution, ending)
        finally:
            self._forget(claim.run.run_id)
        log.info("run.ended", state=str(state), stop=execution.stop_reason)
        return state

    def _forget(self, run_id: str) -> None:
        self._running.pop(run_id, None)
        if not self._running:
            self._idle.set()

    async def _ending(self, execution: RunExecution, claim: Claim) -> Ending:
        definition = FLOWS.get(claim.run.flow, claim.run.version)
        history = History(claim.steps, claim.origins)
        task = asyncio.create_task(self._run_flow(execution, definition, history))
        await execution.watch(task)
        return ending_of(execution, task, self.parts.settings.envelope_max_bytes)

    async def _run_flow(
        self, execution: RunExecution, definition: FlowDefinition, history: History
    ) -> Envelope:
        run = execution.run
        facts = RunFacts(
            run_id=run.run_id,
            flow=run.flow,
            tenant=run.tenant,
            user=run.user,
            thread=run.thread,
            tags=run.tags,
            allow_delivery=run.allow_delivery,
            trace_id=run.trace_id,
        )
        steps = DurableSteps(self.parts, self.waiting, execution, history)
        log = self.parts.log.bind(run=run.run_id, flow=run.flow, trace=run.trace_id)
        request = from_canonical(run.payload, definition.model)
        made = await definition.function(FlowContext(facts, steps, log), request)
        history.check_complete()
        return made

    async def _end(self, execution: RunExecution, ending: Ending) -> RunState | None:
        """Commit the ending; it is announced only after that."""
        run_id, log = execution.run.run_id, self.parts.log
        if ending.end is None:
            log.warning("run.dropped", run=run_id, reason=str(execution.stop_reason))
            return None
        events = (ending.event,) if ending.event else ()
        commit = Commit(run_id=run_id, epoch=execution.epoch, events=events, end=ending.end)
        try:
            await uninterrupted(until_written(lambda: self.parts.journal.commit(commit), log))
        except Fenced:
            log.warning("run.fenced", run=run_id, epoch=execution.epoch)
            return None
        self.parts.wakeups.notify(run_id, "events")
        return ending.end.state
