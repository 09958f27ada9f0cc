"""What a run's owner writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from envelope.errors import InvalidInput
from envelope.events import TERMINAL_EVENTS
from envelope.ports.journal_rows import TERMINAL_STATES, RunState
from envelope.ports.journal_writes import Commit, NewEvent, RunEnd, StepWrite
from worker.journal.book import Book, Needs
from worker.journal.fences import owned_run
from worker.journal.finishing import finish
from worker.journal.rows import RunRow
from worker.journal.step_rows import StepRow, written_step
from worker.journal.suspending import check_waits, need_waits, suspend

_TERMINAL_NAMES = frozenset(event.value for event in TERMINAL_EVENTS)


@dataclass(slots=True)
class WriteRun:
    """Write all of a commit, or nothing when its epoch is stale."""

    commit: Commit

    def need(self, needs: Needs) -> None:
        """Name the run, its steps, the origins of its events and what it waits for."""
        run_id, end = self.commit.run_id, self.commit.end
        needs.runs.add(run_id)
        for step in self.commit.steps:
            needs.steps.add((run_id, step.step))
        for event in self.commit.events:
            if event.origin is not None:
                needs.origins.add((run_id, event.origin))
        if end is not None and end.waits is not None:
            need_waits(needs, run_id, end.waits)

    def apply(self, book: Book) -> int:
        """Return the number of the run's last event."""
        commit = self.commit
        run = book.runs.get(commit.run_id)
        _check_fence(commit, run)
        assert run is not None  # noqa: S101 - the fence refuses an unknown run
        for write in commit.steps:
            _write_step(book, run, write)
        book.record(run, commit.attempts)
        book.append(run, commit.events)
        if commit.end is not None:
            _end(book, run, commit.end)
        return run.events


def check_commit(commit: Commit) -> Commit:
    """Return the commit if its end and its events agree.

    Raises:
        InvalidInput: A run would end without its one terminal event, or have one too early, or
            wait for nothing.
    """
    check_no_terminal_event(commit.run_id, commit.events[:-1] if commit.end else commit.events)
    if commit.end is None:
        return commit
    if commit.end.state is RunState.RUNNING:
        raise InvalidInput(f"Run {commit.run_id}: a commit cannot end a run as 'running'.")
    check_waits(commit.run_id, commit.end)
    last = commit.events[-1] if commit.events else None
    if commit.end.state not in TERMINAL_STATES:
        check_no_terminal_event(commit.run_id, commit.events)
    elif last is None or last.type != f"run.{commit.end.state.value}" or last.origin is not None:
        raise InvalidInput(
            f"Run {commit.run_id}: a commit that ends the run as {commit.end.state.value!r} must "
            f"carry 'run.{commit.end.state.value}' without an origin as its last event."
        )
    return commit


def check_no_terminal_event(run_id: str, events: Sequence[NewEvent]) -> None:
    """Refuse events that would end the run's log before the run ends.

    Raises:
        InvalidInput: One of the events is terminal.
    """
    for event in events:
        if event.type in _TERMINAL_NAMES:
            raise InvalidInput(
                f"Run {run_id}: event {event.type!r} ends a run and stands only at its very end."
            )


def settle(run: RunRow, step: StepRow, tokens: int = 0, usd: float = 0.0) -> None:
    """Count a step that has its outcome: the run made progress, so its losses start anew."""
    run.spent_tokens += tokens
    run.spent_usd += usd
    if step.counts:
        run.steps_done += 1
        run.losses = 0


def _check_fence(commit: Commit, run: RunRow | None) -> None:
    owned_run(commit.run_id, commit.epoch, run)


def _write_step(book: Book, run: RunRow, write: StepWrite) -> None:
    before = book.steps.get((run.run_id, write.step))
    if before is not None and before.settled:
        return  # a committed result is never replaced: the executor was faster than the owner
    if before is None:
        run.positions += 1
    step = written_step(run.run_id, write, before, run.positions, book.now)
    if step.settled:
        settle(run, step, write.tokens, write.usd)
    book.write_step(step)


def _end(book: Book, run: RunRow, end: RunEnd) -> None:
    if end.waits is not None:
        suspend(book, run, end.waits)
    elif end.state is RunState.QUEUED:
        run.state = RunState.QUEUED
        run.owner = None
        run.sent_at = None
        book.touch(run)
    else:
        run.envelope = end.envelope
        run.failure = end.failure
        run.trace = end.trace
        run.fingerprint = end.fingerprint or None
        finish(book, run, end.state)
