"""What an operation on the journal is: the rows it needs, and the rule that changes them.

The rules know no database. `MemoryJournal` applies them to its one book, `SqlJournal` to the rows
that a batch locked, so a rule is written once and both journals mean the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from worker.journal.book import Book, Needs


class Operation(Protocol):
    """One thing that a process wants to happen to the journal."""

    def need(self, needs: Needs) -> None:
        """Name the rows that `apply` reads."""

    def apply(self, book: Book) -> Any:
        """Change the book and return a value, or an answer that is read after the change.

        A refusal is raised before anything is changed, so that it never hurts its neighbours.
        """


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """The whole run, read after the change; None where it is unknown."""

    run_id: str


@dataclass(frozen=True, slots=True)
class ClaimAnswer:
    """The run with its steps, origins and signals, as claimed by `owner` under `epoch`.

    Both are fixed here: a later operation of the same batch may already have moved the run on,
    and the claimer must not learn an epoch that is not its own. `signals` says how many there are:
    those of a run that has none need not be read. Nor need the past of a run that is `fresh`: it
    was never claimed before and repeats no other.
    """

    run_id: str
    epoch: int
    owner: str
    signals: int
    now: float
    fresh: bool


@dataclass(frozen=True, slots=True)
class SignalAnswer:
    """What a signal did, with the whole run as it then is."""

    run_id: str
    number: int
    woken: bool


@dataclass(frozen=True, slots=True)
class StepClaimAnswer:
    """The run and the step, as taken by `executor` for this `attempt`."""

    run_id: str
    step: str
    attempt: int
    executor: str


@dataclass(frozen=True, slots=True)
class StepsAnswer:
    """Whole steps, read after the change, in this order."""

    names: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ApprovalAnswer:
    """The whole approval, read after the change."""

    approval_id: str


Answer = RunAnswer | ClaimAnswer | StepClaimAnswer | StepsAnswer | SignalAnswer | ApprovalAnswer
