"""The fences: whether a run or a step still is the writer's."""

from __future__ import annotations

from envelope.errors import Fenced
from envelope.ports.journal_rows import RunState, StepState
from worker.journal.rows import RunRow
from worker.journal.step_rows import StepRow


def owned_run(run_id: str, epoch: int, run: RunRow | None) -> RunRow:
    """Return the run if its owner claimed it under this epoch.

    Raises:
        Fenced: It is not running, or another process owns it.
    """
    if run is None:
        raise Fenced(f"Run {run_id} is not in the journal; nothing was written.")
    if run.state is not RunState.RUNNING:
        raise Fenced(f"Run {run.run_id} is {run.state.value}; nothing was written.")
    if run.epoch != epoch:
        raise Fenced(
            f"Run {run.run_id} is at epoch {run.epoch}, the write carries {epoch}; "
            "another process owns the run and nothing was written."
        )
    return run


def executed_step(
    name: tuple[str, str],
    attempt: int,
    executor: str,
    run: RunRow | None,
    step: StepRow | None,
) -> tuple[RunRow, StepRow]:
    """Return the run and its queued step if this executor claimed it for this attempt.

    Raises:
        Fenced: The step was taken from the executor, or the run has ended.
    """
    if run is None or step is None:
        raise Fenced(
            f"Step {name[1]!r} of run {name[0]} is not in the journal; nothing was written."
        )
    if run.ended:
        raise Fenced(f"Run {run.run_id} is {run.state.value}; nothing was written.")
    if step.state is not StepState.RUNNING or not (
        step.attempt == attempt and step.executor == executor
    ):
        raise Fenced(
            f"Step {step.step!r} of run {run.run_id} is {step.state.value} under attempt "
            f"{step.attempt} of {step.executor}; attempt {attempt} of {executor} "
            "was taken away and nothing was written."
        )
    return run, step
