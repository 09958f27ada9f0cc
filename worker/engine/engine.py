"""Executes runs: claim, replay, execute, end. The life of a run, as one flat pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Any

from envelope.envelope import Envelope
from envelope.errors import Fenced
from envelope.ports.journal_rows import (
    TERMINAL_STATES,
    Claim,
    Run,
    RunState,
    Signal,
    Step,
)
from envelope.ports.journal_writes import Commit
from envelope.signature import from_canonical
from orchestrators.context import FlowContext, RunFacts
from orchestrators.definition import FlowDefinition
from orchestrators.registry import FLOWS
from orchestrators.running import run_flow
from worker.engine.ending import Ending, ending_of
from worker.engine.execution import RunExecution, Stop
from worker.engine.history import History
from worker.engine.isolation import Isolation, suspected
from worker.engine.masking import masked_ending
from worker.engine.notices import tell_watchers
from worker.engine.notifier import Notifier
from worker.engine.partial import with_partial
from worker.engine.parts import EngineParts
from worker.engine.persist import uninterrupted, until_written
from worker.engine.queued_step import QueuedSteps
from worker.engine.run_lock import held_lock
from worker.engine.steps import DurableSteps
from worker.engine.waiting import WaitingSteps
from worker.engine.waits import RunWaits


class Engine:
    """The run engine of one process.

    Args:
        parts: Journal, queue, limits, resources.
    """

    def __init__(self, parts: EngineParts) -> None:
        self.parts = parts
        self.steps = QueuedSteps(parts, self._settled_here)
        self.waiting = WaitingSteps(parts, self.steps.executes)
        self._running: dict[str, RunExecution] = {}
        self._waits: dict[str, RunWaits] = {}
        self._background: set[asyncio.Task[object]] = set()
        self._notifier = Notifier(parts)
        self._isolation = Isolation(parts)
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    def _settled_here(self, step: Step) -> None:
        self.waiting.settled(step)

    @property
    def running(self) -> Mapping[str, RunExecution]:
        """The runs that this process executes now."""
        return self._running

    async def execute(
        self, run_id: str, *, from_owner: str | None = None, from_epoch: int | None = None
    ) -> RunState | None:
        """Execute a run to its end, or until it is given back.

        Args:
            run_id: The run.
            from_owner: The living worker that hands it over.
            from_epoch: The epoch under which it does.

        Returns the state that was committed; None when the run was not to be had, or was lost to
        another worker. A duplicate message therefore changes nothing.
        """
        while not self._draining:
            claim = await self._claimed(run_id, from_owner, from_epoch)
            if claim is None:
                await self._notifier.missing_version(run_id)
                return None
            if not suspected(self.parts, claim.run.losses):
                return await self._execute(claim, alone=from_owner is not None)
            run = claim.run
            state = await self._isolation.execute(run_id, run.epoch, run.losses)
            if not await self._goes_on(run):
                return state
        return None

    async def _claimed(
        self, run_id: str, from_owner: str | None, from_epoch: int | None
    ) -> Claim | None:
        """Claim a run. While the journal is away a claim may be committed and its answer lost."""
        attempts = count()

        async def claim() -> Claim | None:
            return await self.parts.journal.claim(
                run_id,
                self.parts.worker_id,
                from_owner=from_owner,
                from_epoch=from_epoch,
                versions=FLOWS.versions(),
                again=next(attempts) > 0 and run_id not in self._running,
            )

        return await until_written(claim, self.parts.log)

    async def _goes_on(self, before: Run) -> bool:
        """Whether isolation told something of the run: it is cleared, or needs a smaller group."""
        run = await self.parts.journal.run(before.run_id)
        return run is not None and run.state is RunState.QUEUED and run.losses != before.losses

    def cancel(self, run_id: str, reason: str) -> None:
        """Stop a run of this process; its terminal state is committed when its code has ended."""
        execution = self._running.get(run_id)
        if execution is not None and not execution.undoing:
            execution.stop(Stop.CANCELLED, reason)
            self._in_background(self._notifier.stop_queued_steps(run_id))

    async def drop_lost(self) -> None:
        """Drop the runs that others took while this process had lost its lease."""
        running = dict(self._running)  # from before the read: it knows of all of them
        owned = await self.parts.journal.owned(self.parts.worker_id)
        for run_id, execution in running.items():
            if owned.get(run_id) != execution.epoch:
                execution.stop(Stop.FENCED)

    async def look(self) -> None:
        """Find what came for waiting runs of this process while nobody told."""
        for waits in list(self._waits.values()):
            await waits.look()

    async def told(self, run_id: str) -> None:
        """Take a notice that something came for a run: a signal, or the end of a child."""
        waits = self._waits.get(run_id)
        if waits is not None:
            await waits.look()

    async def drain(self) -> None:
        """Give every run back at its next step boundary; return when all have been."""
        self._draining = True
        for execution in list(self._running.values()):
            execution.drain()
        await self._isolation.drain()
        await self._idle.wait()

    async def _execute(self, claim: Claim, *, alone: bool) -> RunState | None:
        with self.parts.telemetry.run(claim) as ended:
            state = await self._executed(claim, alone=alone)
            ended(state)
        return state

    async def _executed(self, claim: Claim, *, alone: bool) -> RunState | None:
        await self._end_former(claim.run.run_id)
        execution = RunExecution(claim, self.parts.hold, alone=alone)
        self._running[claim.run.run_id] = execution
        self._idle.clear()
        if self._draining:  # the drain began while the claim was under way
            execution.drain()
        log = self.parts.log.bind(run=claim.run.run_id, flow=claim.run.flow)
        log.info("run.started", epoch=execution.epoch, recorded=len(claim.steps))
        tell_watchers(self.parts.wakeups, claim.run.run_id, RunState.RUNNING)
        try:
            ending = await self._ending(execution, claim)
            state = await self._end(execution, ending)
        finally:
            self._forget(claim.run.run_id)
            execution.ended.set()
        log.info("run.ended", state=str(state), stop=execution.stop_reason)
        return state

    async def _end_former(self, run_id: str) -> None:
        """A run that this process had lost has come back to it: its former execution ends first."""
        while (former := self._running.get(run_id)) is not None:
            former.stop(Stop.FENCED)
            await former.ended.wait()

    def _forget(self, run_id: str) -> None:
        self._running.pop(run_id, None)
        if not self._running:
            self._idle.set()

    async def _ending(self, execution: RunExecution, claim: Claim) -> Ending:
        definition = FLOWS.get(claim.run.flow, claim.run.version)
        history = History(claim.steps, claim.origins)
        task = asyncio.create_task(self._run_flow(execution, definition, history, claim.signals))
        await execution.watch(task)
        ending = ending_of(execution, task, self.parts.settings.envelope_max_bytes)
        return masked_ending(self.parts.redactor, ending)

    async def _run_flow(
        self,
        execution: RunExecution,
        definition: FlowDefinition,
        history: History,
        signals: Sequence[Signal],
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
        log = self.parts.log.bind(run=run.run_id, flow=run.flow, trace_id=run.trace_id)
        request = from_canonical(run.payload, definition.model)
        with self._waiting_of(execution, history, signals) as waits:
            steps = DurableSteps(
                self.parts, self.waiting, execution, history, waits, self.execute_here
            )
            async with self._singleton(execution):
                made = await run_flow(definition, FlowContext(facts, steps, log), request)
        if not execution.undoing:
            history.check_complete()
        return made

    @contextmanager
    def _waiting_of(
        self, execution: RunExecution, history: History, signals: Sequence[Signal]
    ) -> Iterator[RunWaits]:
        waits = RunWaits(self.parts, execution, history, signals)
        self._waits[execution.run.run_id] = waits
        try:
            yield waits
        finally:
            waits.close()
            del self._waits[execution.run.run_id]

    @asynccontextmanager
    async def _singleton(self, execution: RunExecution) -> AsyncIterator[None]:
        """The journal lets one run of a key be active; the lock keeps others out, who use it."""
        key = execution.run.singleton
        if key is None:
            yield
            return
        async with held_lock(self.parts, execution, key, "singleton"):
            yield

    def execute_here(self, run_id: str) -> None:
        """Execute a run in the background: where there is no queue to send it to."""
        self._in_background(self.execute(run_id))

    def _in_background(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _end(self, execution: RunExecution, ending: Ending) -> RunState | None:
        """Commit the ending; it is announced only after that."""
        run_id, log = execution.run.run_id, self.parts.log
        if ending.end is None:
            log.warning("run.dropped", run=run_id, reason=str(execution.stop_reason))
            return None
        events = (ending.event,) if ending.event else ()
        end = await with_partial(self.parts, execution.run, ending.end)
        commit = Commit(run_id=run_id, epoch=execution.epoch, events=events, end=end)
        try:
            await uninterrupted(until_written(lambda: self.parts.journal.commit(commit), log))
        except Fenced:
            log.warning("run.fenced", run=run_id, epoch=execution.epoch)
            return None
        tell_watchers(self.parts.wakeups, run_id, ending.end.state)
        if execution.run.parent_id is not None and ending.end.state in TERMINAL_STATES:
            await self._notifier.tell_parent(execution.run.parent_id)
        return ending.end.state
