"""Runs what keeps losing its worker in a process of its own, so that only the guilty are blamed.

A dead worker takes all its runs along, and nobody can tell which of them killed it. A run or step
that is one loss away from the limit therefore gets a process to itself, watched by a living one:
if that dies, it was the run's own doing.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from dataclasses import dataclass, replace
from typing import Protocol

from envelope.errors import Fenced, LostTooOften
from envelope.events import EventType
from envelope.failure import Failure
from envelope.ports.journal import (
    Commit,
    Journal,
    NewEvent,
    RunEnd,
    RunState,
    StepClaim,
    StepCommit,
    StepState,
)
from envelope.ports.wakeup import Wakeups
from worker.engine.writes import Outcome, attempt_record, settled_event


class Cell(Protocol):
    """Executes one run or step elsewhere."""

    async def run(self, worker_id: str, run_id: str, step: str | None) -> int:
        """Return the exit code of the process that did it under the name `worker_id`."""


class SubprocessCell:
    """A fresh Python process, which reads the same settings from its environment."""

    async def run(self, worker_id: str, run_id: str, step: str | None) -> int:
        """Start `python -m worker.isolated` and wait for it; killed if the waiter is cancelled."""
        arguments = [worker_id, run_id, *([step] if step else [])]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "worker.isolated", *arguments
        )
        try:
            return await process.wait()
        except asyncio.CancelledError:
            process.terminate()
            await process.wait()
            raise


@dataclass(frozen=True, slots=True)
class Isolation:
    """Decides what is isolated, and counts its losses.

    Attributes:
        journal: The journal.
        wakeups: Tell a run's owner that its step is settled.
        max_losses: Losses in a row after which a run is dead.
        cell: Where isolated work runs; None leaves everything in this process.
    """

    journal: Journal
    wakeups: Wakeups
    max_losses: int
    cell: Cell | None

    def suspects(self, losses: int) -> bool:
        """Whether one more loss is the last."""
        return self.cell is not None and losses >= self.max_losses - 1

    async def run(self, run_id: str, epoch: int) -> RunState | None:
        """Give the run back, have it executed alone, and blame it if its process dies."""
        end = RunEnd(state=RunState.QUEUED)
        note = NewEvent(type=EventType.RUN_ISOLATED)
        await self.journal.commit(Commit(run_id=run_id, epoch=epoch, events=(note,), end=end))
        worker_id = _cell_name()
        if self.cell is not None and await self.cell.run(worker_id, run_id, None) == 0:
            return None  # it has committed its own end
        rescue = await self.journal.blame(run_id, worker_id, self.max_losses)
        return rescue.state if rescue else None

    async def step(self, claim: StepClaim) -> StepState | None:
        """Hand the step back, have it executed alone, and fail it if its process dies."""
        step = claim.step
        back = StepCommit(
            run_id=step.run_id,
            step=step.step,
            attempt=step.attempt,
            executor=step.executor or "",
            state=StepState.QUEUED,
        )
        await self.journal.commit_step(back)
        worker_id = _cell_name()
        if self.cell is not None and await self.cell.run(worker_id, step.run_id, step.step) == 0:
            return None
        return await self._fail(claim, worker_id)

    async def _fail(self, claim: StepClaim, worker_id: str) -> StepState | None:
        step, attempt = claim.step, claim.step.attempt + 1
        failure = Failure.of(
            LostTooOften(f"Its process died {step.losses + 1} times in a row, last time alone."),
            step=step.step,
            agent=step.agent,
            attempt=attempt,
        )
        outcome = Outcome(attempt, 0.0, None, failure)
        lost = attempt_record(step.step, worker_id, outcome)
        commit = StepCommit(
            run_id=step.run_id,
            step=step.step,
            attempt=attempt,
            executor=worker_id,
            state=StepState.FAILED,
            failure=failure.model_dump_json(),
            events=(settled_event(step.step, step.agent, outcome),),
            record=replace(lost, outcome="lost"),
        )
        try:
            owner = await self.journal.commit_step(commit)
        except Fenced:
            return None  # the process died before it took the step, or after its commit
        if owner:
            self.wakeups.notify(owner, f"{step.run_id} {step.step}")
        return StepState.FAILED


def _cell_name() -> str:
    return f"isolated-{secrets.token_hex(8)}"
