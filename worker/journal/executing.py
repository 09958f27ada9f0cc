"""What the executor of a queued step takes and writes."""

from __future__ import annotations

from dataclasses import dataclass

from envelope.events import EventType
from envelope.ports.journal_rows import StepState
from envelope.ports.journal_writes import StepCommit
from worker.journal.book import Book, Needs
from worker.journal.committing import check_no_terminal_event, settle
from worker.journal.fences import executed_step
from worker.journal.operations import StepClaimAnswer
from worker.journal.rows import RunRow
from worker.journal.step_rows import StepRow

UNDO = "undo"
"""The kind of a compensation, which alone may begin after its run was asked to stop."""


@dataclass(slots=True)
class TakeStep:
    """Make `executor` the one that executes a queued step, whoever owns the run."""

    run_id: str
    step: str
    executor: str
    again: bool = False

    def need(self, needs: Needs) -> None:
        """Name the run and the step."""
        needs.runs.add(self.run_id)
        needs.steps.add((self.run_id, self.step))

    def apply(self, book: Book) -> StepClaimAnswer | None:
        """Take the step for a further attempt; None when it is not to be taken."""
        run = book.runs.get(self.run_id)
        step = book.steps.get((self.run_id, self.step))
        if run is None or run.ended or step is None or not self._free(step):
            return None
        if run.cancel_reason is not None and step.kind != UNDO:
            return None
        step.state = StepState.RUNNING
        step.attempt += 1
        step.executor = self.executor
        step.started_at = book.now
        step.failure = None
        book.move_step(step)
        book.tell(
            run,
            EventType.STEP_STARTED,
            step=step.step,
            agent=step.agent,
            attempt=step.attempt,
            executor=self.executor,
        )
        return StepClaimAnswer(self.run_id, self.step, step.attempt, self.executor)

    def _free(self, step: StepRow) -> bool:
        if step.state is StepState.RUNNING:
            return self.again and step.executor == self.executor
        return step.state is StepState.QUEUED


@dataclass(slots=True)
class WriteStep:
    """Write a queued step's outcome, unless the step was taken from its executor."""

    commit: StepCommit

    def need(self, needs: Needs) -> None:
        """Name the run, the step and the origins of the events."""
        run_id = self.commit.run_id
        needs.runs.add(run_id)
        needs.steps.add((run_id, self.commit.step))
        for event in self.commit.events:
            if event.origin is not None:
                needs.origins.add((run_id, event.origin))

    def apply(self, book: Book) -> str | None:
        """Return the run's owner, who waits for the step."""
        commit = self.commit
        name = (commit.run_id, commit.step)
        known = book.runs.get(commit.run_id), book.steps.get(name)
        run, step = executed_step(name, commit.attempt, commit.executor, *known)
        if commit.state is not StepState.RUNNING:
            _move(book, run, step, commit)
        if commit.record is not None:
            book.record(run, [commit.record])
        book.append(run, commit.events)
        return run.owner


def check_step_commit(commit: StepCommit) -> StepCommit:
    """Return the commit if it is one that an executor may write.

    Raises:
        InvalidInput: It carries a terminal event.
    """
    check_no_terminal_event(commit.run_id, commit.events)
    return commit


def _move(book: Book, run: RunRow, step: StepRow, commit: StepCommit) -> None:
    step.state = commit.state
    step.result = commit.result
    step.failure = commit.failure
    if step.settled:
        step.finished_at = book.now
        settle(run, step, commit.tokens, commit.usd)
    else:
        put_back(step, book.now)
    book.move_step(step)


def put_back(step: StepRow, now: float) -> None:
    """Queue a step again: nobody executes it, and its message is to be sent from `now` on."""
    step.state = StepState.QUEUED
    step.executor = None
    step.started_at = None
    step.sent_at = now
