"""What the rules changed: rows by name, and entries that were appended, for the store to write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from worker.journal.rows import RunRow
from worker.journal.step_rows import StepRow


class EventEntry(NamedTuple):
    """An appended event, in the order of the table's columns."""

    run_id: str
    number: int
    type: str
    at: float
    step: str | None
    origin: str | None
    data: str


class AttemptEntry(NamedTuple):
    """An appended attempt, in the order of the table's columns."""

    run_id: str
    number: int
    step: str
    attempt: int
    executor: str
    outcome: str
    seconds: float
    failure: str | None
    finished_at: float


class SignalEntry(NamedTuple):
    """A signal that arrived, in the order of the table's columns."""

    run_id: str
    number: int
    name: str
    data: str
    at: float


class WaitEntry(NamedTuple):
    """That a run waits for the end of another one, in the order of the table's columns."""

    awaited_id: str
    run_id: str


class StepsCopy(NamedTuple):
    """Settled steps that a new run takes over from the one that it repeats."""

    source_id: str
    run_id: str
    steps: Sequence[str]


@dataclass(slots=True)
class Changes:
    """Everything that changed.

    Attributes:
        runs: Runs whose state, counters or outcome changed.
        ties: Runs, perhaps ended ones, whose ties to others changed: what they wait for, who waits
            for them, their children, signals and replays.
        taken_keys: The new holder of each singleton key that was taken.
    """

    accepted: dict[str, RunRow] = field(default_factory=dict)
    runs: dict[str, RunRow] = field(default_factory=dict)
    ties: dict[str, RunRow] = field(default_factory=dict)
    new_steps: dict[tuple[str, str], StepRow] = field(default_factory=dict)
    rewritten_steps: dict[tuple[str, str], StepRow] = field(default_factory=dict)
    moved_steps: dict[tuple[str, str], StepRow] = field(default_factory=dict)
    copies: list[StepsCopy] = field(default_factory=list)
    events: list[EventEntry] = field(default_factory=list)
    attempts: list[AttemptEntry] = field(default_factory=list)
    signals: list[SignalEntry] = field(default_factory=list)
    taken_keys: dict[str, str] = field(default_factory=dict)
    new_waits: list[WaitEntry] = field(default_factory=list)
    told_waits: list[WaitEntry] = field(default_factory=list)
