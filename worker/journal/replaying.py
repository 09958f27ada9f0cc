"""How a new run repeats an ended one without paying again for what succeeded."""

from __future__ import annotations

from collections.abc import Sequence

from envelope.errors import InvalidInput, UnknownRun
from envelope.ports.journal_rows import StepState
from envelope.ports.journal_writes import Replay
from worker.journal.book import Book
from worker.journal.rows import RunRow
from worker.journal.step_rows import StepRow


def steps_to_keep(book: Book, replay: Replay) -> Sequence[StepRow]:
    """Return the steps that the new run takes over, in order.

    Raises:
        UnknownRun: The run to be repeated is not there.
        InvalidInput: It has not ended, or has no step `before`.
    """
    source = book.runs.get(replay.run_id)
    if source is None:
        raise UnknownRun(f"There is no run {replay.run_id!r} to be replayed.")
    if not source.ended:
        raise InvalidInput(
            f"Run {source.run_id} is {source.state.value}. Only a run that has ended is replayed: "
            "wait for its end or cancel it."
        )
    steps = book.steps_of(source.run_id)
    if replay.before is not None:
        end = _position(steps, replay)
        steps = [step for step in steps if step.position < end]
    return [step for step in steps if step.state is StepState.SUCCEEDED] if replay.keep else []


def take_over(book: Book, run: RunRow, replay: Replay, kept: Sequence[StepRow]) -> None:
    """Enter the steps as those of the run, and mark the run that it repeats."""
    run.positions = max((step.position for step in kept), default=0)
    run.steps_done = sum(step.counts for step in kept)
    book.copy_steps(replay.run_id, run, kept)
    source = book.runs[replay.run_id]
    run.origin_id = source.origin_id or source.run_id
    source.replayed_as = run.run_id
    book.tie(source)


def _position(steps: Sequence[StepRow], replay: Replay) -> int:
    for step in steps:
        if step.step == replay.before:
            return step.position
    raise InvalidInput(f"Run {replay.run_id} has no step {replay.before!r} to be replayed from.")
