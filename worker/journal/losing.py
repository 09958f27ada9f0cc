"""What becomes of runs and steps whose process was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from envelope.canonical import sha256_hex
from envelope.errors import LostTooOften
from envelope.events import EventType
from envelope.failure import Failure
from envelope.ports.journal_rows import (
    Attempt,
    Rescue,
    RunState,
    StepState,
)
from worker.journal.book import Book, Needs
from worker.journal.committing import settle
from worker.journal.executing import put_back
from worker.journal.finishing import finish
from worker.journal.operations import StepsAnswer
from worker.journal.rows import RunRow
from worker.journal.step_rows import StepRow

PURGE_AFTER = 3600.0
"""Seconds after which a lapsed worker is forgotten."""

FOREIGN_FAULTS = 10
"""A loss whose cause is unknown weighs a tenth of one that is the run's own doing."""


@dataclass(slots=True)
class RescueRuns:
    """Queue those of the runs that still are running under a lapsed lease, or end them as dead."""

    run_ids: Sequence[str]
    max_losses: int

    def need(self, needs: Needs) -> None:
        """Name the runs, their open steps and the leases."""
        needs.runs.update(self.run_ids)
        needs.open_steps.update(self.run_ids)
        needs.leases = True

    def apply(self, book: Book) -> Sequence[Rescue]:
        """Return what became of each run that was lost."""
        rows = (book.runs.get(run_id) for run_id in self.run_ids)
        lost = [
            row
            for row in rows
            if row is not None and row.state is RunState.RUNNING and book.lapsed(row.owner)
        ]
        return [_lose(book, run, FOREIGN_FAULTS * self.max_losses) for run in lost]


@dataclass(slots=True)
class BlameRun:
    """Count a loss of a run that `worker_id` still owns and that was alone in it."""

    run_id: str
    worker_id: str
    max_losses: int

    def need(self, needs: Needs) -> None:
        """Name the run and its open steps."""
        needs.runs.add(self.run_id)
        needs.open_steps.add(self.run_id)

    def apply(self, book: Book) -> Rescue | None:
        """Return what became of the run; None when another owns it by now."""
        run = book.runs.get(self.run_id)
        if run is None or run.state is not RunState.RUNNING or run.owner != self.worker_id:
            return None
        return _lose(book, run, self.max_losses)


@dataclass(slots=True)
class RescueSteps:
    """Queue those of the steps that still are running under a lapsed lease, or fail them."""

    names: Sequence[tuple[str, str]]
    max_losses: int

    def need(self, needs: Needs) -> None:
        """Name the steps, their runs and the leases."""
        needs.runs.update(run_id for run_id, _ in self.names)
        needs.steps.update(self.names)
        needs.leases = True

    def apply(self, book: Book) -> StepsAnswer:
        """Return the steps that changed."""
        changed = [name for name in dict.fromkeys(self.names) if self._rescue(book, name)]
        return StepsAnswer(changed)

    def _rescue(self, book: Book, name: tuple[str, str]) -> bool:
        run, step = book.runs.get(name[0]), book.steps.get(name)
        if run is None or run.ended or step is None or step.state is not StepState.RUNNING:
            return False
        if step.executor is None or not book.lapsed(step.executor):
            return False
        _lose_step(book, run, step, FOREIGN_FAULTS * self.max_losses)
        return True


def _lose(book: Book, run: RunRow, limit: int) -> Rescue:
    worker = run.owner
    run.losses += 1
    run.epoch += 1
    run.owner = None
    book.tell(run, EventType.RUN_LOST, worker=worker, losses=run.losses)
    if run.losses >= limit:
        _bury(book, run, worker)
    else:
        run.state = RunState.QUEUED
        run.sent_at = None
    return Rescue(hint=run.hint, state=run.state, losses=run.losses)


def _bury(book: Book, run: RunRow, worker: str | None) -> None:
    """End the run as dead, with what is known of its last moments as its trace."""
    in_flight = book.open_steps(run.run_id)
    agents = sorted({step.agent for step in in_flight})
    failure = Failure(
        code=LostTooOften.code,
        message=f"The run lost its worker {run.losses} times in a row without a step committed "
        "in between. Look at its trace, mend the cause, then replay it.",
        fingerprint=_fingerprint(*agents),
        details={"losses": run.losses, "worker": worker},
    )
    steps = ", ".join(step.step for step in in_flight) or "none recorded"
    run.fingerprint = failure.fingerprint
    run.failure = failure.model_dump_json()
    run.trace = (
        f"Lost {run.losses} workers in a row, the last one {worker}, at epoch {run.epoch}.\n"
        f"Steps committed: {run.steps_done}. Steps in flight: {steps}."
    )
    finish(book, run, RunState.DEAD)
    book.tell(run, EventType.RUN_DEAD, code=failure.code, worker=worker, losses=run.losses)


def _lose_step(book: Book, run: RunRow, step: StepRow, limit: int) -> None:
    executor = step.executor or ""
    step.losses += 1
    book.record(run, [_lost_attempt(step, executor, book.now)])
    book.tell(
        run,
        EventType.STEP_LOST,
        step=step.step,
        agent=step.agent,
        attempt=step.attempt,
        executor=executor,
        losses=step.losses,
    )
    if step.losses >= limit:
        _fail(book, run, step)
    else:
        put_back(step, book.now)
    book.move_step(step)


def _fingerprint(*agents: str) -> str:
    """Return what groups losses of one cause: most likely the agents that were at work."""
    return sha256_hex("|".join([LostTooOften.code, *agents]))[:16]


def _lost_attempt(step: StepRow, executor: str, now: float) -> Attempt:
    return Attempt(
        step=step.step,
        attempt=step.attempt,
        executor=executor,
        outcome="lost",
        seconds=max(0.0, now - (step.started_at or now)),
    )


def _fail(book: Book, run: RunRow, step: StepRow) -> None:
    failure = Failure(
        code=LostTooOften.code,
        message=f"The step lost its executor {step.losses} times in a row.",
        step=step.step,
        agent=step.agent,
        attempt=step.attempt,
        fingerprint=_fingerprint(step.agent),
        details={"losses": step.losses},
    )
    step.state = StepState.FAILED
    step.failure = failure.model_dump_json()
    step.finished_at = book.now
    settle(run, step)
    book.tell(run, EventType.STEP_FAILED, step=step.step, agent=step.agent, code=failure.code)
