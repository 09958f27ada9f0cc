"""The rows of steps that the journal's rules work on."""

from __future__ import annotations

from dataclasses import dataclass

from envelope.ports.journal_rows import SETTLED_STATES, Step, StepState
from envelope.ports.journal_writes import StepWrite

PROGRESS_KINDS = frozenset({"agent", "undo"})
"""Steps that do something; all others record a value."""


@dataclass(slots=True, kw_only=True)
class StepRow:
    """A step under its run's lock. `input` and `result` are empty where SQL loaded it for a rule:
    the input is only ever written whole, and a step that has a result never changes again.
    """

    run_id: str
    step: str
    agent: str
    kind: str
    state: StepState
    position: int
    inline: bool = True
    input_sha256: str = ""
    input: str = ""
    attempt: int = 1
    losses: int = 0
    executor: str | None = None
    result: str | None = None
    failure: str | None = None
    sent_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def settled(self) -> bool:
        """Whether the step has its final outcome."""
        return self.state in SETTLED_STATES

    @property
    def counts(self) -> bool:
        """Whether the run made progress with this step once it is settled."""
        return self.kind in PROGRESS_KINDS


def written_step(
    run_id: str, write: StepWrite, before: StepRow | None, position: int, now: float
) -> StepRow:
    """Return the row that the owner's write makes of a new or unsettled step."""
    settled = write.state in SETTLED_STATES
    started = now - write.seconds if settled else None
    return StepRow(
        run_id=run_id,
        step=write.step,
        agent=write.agent,
        kind=write.kind,
        state=write.state,
        position=before.position if before else position,
        inline=write.inline,
        input_sha256=write.input_sha256,
        input=write.input,
        attempt=write.attempt,
        losses=before.losses if before else 0,
        executor=write.executor,
        result=write.result,
        failure=write.failure,
        sent_at=now if write.state is StepState.QUEUED else before.sent_at if before else None,
        started_at=now if write.state is StepState.RUNNING else started,
        finished_at=now if settled else None,
    )


def step_of(row: StepRow) -> Step:
    """Return the public, frozen form of a complete row."""
    return Step(
        run_id=row.run_id,
        step=row.step,
        agent=row.agent,
        kind=row.kind,
        state=row.state,
        inline=row.inline,
        input_sha256=row.input_sha256,
        input=row.input,
        attempt=row.attempt,
        losses=row.losses,
        executor=row.executor,
        result=row.result,
        failure=row.failure,
        sent_at=row.sent_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        position=row.position,
    )
