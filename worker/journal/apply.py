"""Applies a batch of operations inside one transaction: load, decide, write, read the answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from envelope.errors import MusterError
from envelope.ports.journal_rows import Claim, Signalled, StepClaim
from worker.journal.book import Book, Needs
from worker.journal.ledger_reads import read_approvals
from worker.journal.load import load_book
from worker.journal.operations import (
    ApprovalAnswer,
    ClaimAnswer,
    Operation,
    RunAnswer,
    SignalAnswer,
    StepClaimAnswer,
    StepsAnswer,
)
from worker.journal.reading import (
    read_origins,
    read_runs,
    read_signals_of,
    read_steps,
    read_steps_of,
    read_steps_with_runs,
)
from worker.journal.write_ledger import write_ledger
from worker.journal.writes import write_changes


class Statement(ABC):
    """An operation that no rule decides: it runs its own SQL inside the batch's transaction."""

    @abstractmethod
    def execute(self, connection: Connection) -> Any:
        """Run, and return the caller's value."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an operation: a value, or the error that its caller gets."""

    value: Any = None
    error: BaseException | None = None


Work = Operation | Statement


def apply_batch(connection: Connection, batch: Sequence[Work]) -> Sequence[Outcome]:
    """Apply the operations in order; one that is refused leaves its neighbours alone.

    The outcomes are valid once the transaction is committed.
    """
    needs = Needs()
    for work in batch:
        if not isinstance(work, Statement):
            work.need(needs)
    book = load_book(connection, needs)
    decided = [_decide(work, book) for work in batch]
    write_changes(connection, book.drain())
    write_ledger(connection, book.ledger.drain())
    return _answer(connection, batch, decided)


def _decide(work: Work, book: Book) -> Outcome:
    if isinstance(work, Statement):
        return Outcome()
    try:
        return Outcome(work.apply(book))
    except MusterError as refusal:
        return Outcome(error=refusal)


def _answer(
    connection: Connection, batch: Sequence[Work], decided: Sequence[Outcome]
) -> Sequence[Outcome]:
    """Run the statements and put whole rows in place of the answers that name them."""
    answers = _Answers(connection, [outcome.value for outcome in decided])
    return [
        Outcome(work.execute(connection))
        if isinstance(work, Statement)
        else answers.complete(outcome)
        for work, outcome in zip(batch, decided, strict=True)
    ]


class _Answers:
    """The rows that the answers of a batch name, read in one statement per table."""

    def __init__(self, connection: Connection, values: Sequence[Any]) -> None:
        claims = {v.run_id for v in values if isinstance(v, ClaimAnswer)}
        begun = {v.run_id for v in values if isinstance(v, ClaimAnswer) and not v.fresh}
        signalled = {v.run_id for v in values if isinstance(v, ClaimAnswer) and v.signals}
        whole = {v.run_id for v in values if isinstance(v, RunAnswer | SignalAnswer)}
        named = {name for v in values if isinstance(v, StepsAnswer) for name in v.names}
        taken = {(v.run_id, v.step) for v in values if isinstance(v, StepClaimAnswer)}
        self._runs = read_runs(connection, claims | whole)
        self._steps = read_steps(connection, named)
        self._taken = read_steps_with_runs(connection, taken)
        self._steps_of = read_steps_of(connection, begun)
        self._origins = read_origins(connection, begun)
        self._signals = read_signals_of(connection, signalled)
        approvals = {v.approval_id for v in values if isinstance(v, ApprovalAnswer)}
        self._approvals = read_approvals(connection, approvals)

    def complete(self, outcome: Outcome) -> Outcome:
        """Return the outcome with what the caller gets for the rule's answer."""
        value: Any
        match outcome.value:
            case RunAnswer(run_id):
                value = self._runs.get(run_id)
            case ClaimAnswer() as answer:
                value = self._claim(answer)
            case StepClaimAnswer() as answer:
                value = self._step_claim(answer)
            case SignalAnswer(run_id, number, woken):
                value = Signalled(run=self._runs[run_id], number=number, woken=woken)
            case ApprovalAnswer(approval_id):
                value = self._approvals[approval_id]
            case StepsAnswer(names):
                value = [self._steps[name] for name in names]
            case _:
                return outcome
        return Outcome(value)

    def _claim(self, answer: ClaimAnswer) -> Claim:
        return Claim(
            now=answer.now,
            run=replace(self._runs[answer.run_id], epoch=answer.epoch, owner=answer.owner),
            steps=self._steps_of.get(answer.run_id, []),
            origins=self._origins.get(answer.run_id, frozenset()),
            signals=self._signals.get(answer.run_id, []),
        )

    def _step_claim(self, answer: StepClaimAnswer) -> StepClaim:
        step, run = self._taken[answer.run_id, answer.step]
        return StepClaim(
            run=run, step=replace(step, attempt=answer.attempt, executor=answer.executor)
        )
