"""Passes the word to others: parents, executors, and the people who run the workers."""

from __future__ import annotations

from envelope.errors import JournalUnavailable, QueueUnavailable
from envelope.ports.journal_rows import RunState, Step, StepState
from orchestrators.registry import FLOWS
from worker.engine.notices import CANCEL_NOTICE, COME_NOTICE
from worker.engine.parts import EngineParts


class Notifier:
    """All of it only saves time: who is not told finds out within a heartbeat or a round."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._missing: set[tuple[str, int]] = set()

    async def tell_parent(self, parent_id: str) -> None:
        """Wake the parent now; should that fail, a reconciler does it a second later."""
        try:
            woken = await self._parts.journal.wake(1, [parent_id])
            if woken and self._parts.queue is not None:
                await self._parts.queue.enqueue(woken)
            parent = None if woken else await self._parts.journal.run(parent_id)
        except (JournalUnavailable, QueueUnavailable) as error:
            self._parts.log.warning("parent.not_told", run=parent_id, error=str(error))
            return
        if parent is not None and parent.owner is not None:
            self._parts.wakeups.notify(parent.owner, f"{COME_NOTICE} {parent_id}")

    async def stop_queued_steps(self, run_id: str) -> None:
        """Tell the executors at once; without this they learn it at their next heartbeat."""
        try:
            steps = await self._parts.journal.steps(run_id)
        except JournalUnavailable:
            return
        for executor in {step.executor for step in steps if _executes_elsewhere(step)}:
            self._parts.wakeups.notify(str(executor), CANCEL_NOTICE)

    async def missing_version(self, run_id: str) -> None:
        """Say it once: a run waits for a worker that has its version."""
        run = await self._parts.journal.run(run_id)
        if run is None or run.state is not RunState.QUEUED:
            return
        known = FLOWS.versions().get(run.flow, ())
        if run.version in known or (run.flow, run.version) in self._missing:
            return
        self._missing.add((run.flow, run.version))
        self._parts.log.warning(
            "run.version_missing",
            run=run_id,
            flow=run.flow,
            version=run.version,
            here=list(known),
            advice="Start a worker whose code registers that version, or cancel the run.",
        )


def _executes_elsewhere(step: Step) -> bool:
    return step.state is StepState.RUNNING and not step.inline and step.executor is not None
