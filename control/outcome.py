"""How a run ended, as its waiting caller meets it: an envelope, or an error that says why."""

from __future__ import annotations

from envelope import errors
from envelope.envelope import Envelope
from envelope.failure import Failure
from envelope.ports.journal_rows import TERMINAL_STATES, Run, RunState


class RunFailed(errors.RunFailed):
    """The run ended in `failed` or `dead`.

    Attributes:
        run_id: The run.
        state: `failed` or `dead`.
        failure: Why.
        envelope: What the flow returned, where it returned one of status `error`.
    """

    def __init__(self, run: Run) -> None:
        self.run_id = run.run_id
        self.state = run.state
        self.failure = failure_of(run)
        self.envelope = _envelope(run)
        why = f"{self.failure.code}: {self.failure.message}" if self.failure else "no reason given"
        super().__init__(f"Run {run.run_id} is {run.state.value}: {why}")


class RunCancelled(errors.RunCancelled):
    """The run was cancelled before it had a result.

    Attributes:
        run_id: The run.
        reason: What was said when it was cancelled.
        failure: What the engine recorded, where the run was already under way.
    """

    def __init__(self, run: Run) -> None:
        self.run_id = run.run_id
        self.reason = run.cancel_reason
        self.failure = failure_of(run)
        super().__init__(
            f"Run {run.run_id} was cancelled: {run.cancel_reason or 'no reason given'}"
        )


class RunTimeout(errors.RunTimeout):
    """The run had no result in the time that the caller wanted to wait. It goes on.

    Attributes:
        run_id: The run.
        seconds: How long was waited.
        state: The state in which the run was seen last.
    """

    def __init__(self, run_id: str, seconds: float, state: RunState) -> None:
        self.run_id = run_id
        self.seconds = seconds
        self.state = state
        super().__init__(
            f"Run {run_id} is still {state.value} after {seconds:g} s. It goes on; "
            "ask again later, or cancel it."
        )


def has_ended(run: Run) -> bool:
    """Whether the run is in a terminal state."""
    return run.state in TERMINAL_STATES


def outcome_of(run: Run) -> Envelope:
    """Return the envelope of a run that has ended.

    Raises:
        RunFailed: It failed, or is dead.
        RunCancelled: It was cancelled.
    """
    if run.state is RunState.CANCELLED:
        raise RunCancelled(run)
    envelope = _envelope(run)
    if run.state is not RunState.SUCCEEDED or envelope is None:
        raise RunFailed(run)
    return envelope


def failure_of(run: Run) -> Failure | None:
    """Return why the run failed."""
    return Failure.model_validate_json(run.failure) if run.failure else None


def _envelope(run: Run) -> Envelope | None:
    return Envelope.from_json(run.envelope, max_bytes=None) if run.envelope else None
