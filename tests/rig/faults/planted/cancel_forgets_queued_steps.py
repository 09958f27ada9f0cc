"""A cancel stops the run's owner, but its steps on agents' queues are still taken."""

from __future__ import annotations

from tests.rig.faults.planted.planting import Patch
from worker.journal.book import Book
from worker.journal.executing import TakeStep
from worker.journal.operations import StepClaimAnswer

_apply = TakeStep.apply


def _take_anyway(take: TakeStep, book: Book) -> StepClaimAnswer | None:
    run = book.runs[take.run_id]
    reason, run.cancel_reason = run.cancel_reason, None
    try:
        return _apply(take, book)
    finally:
        run.cancel_reason = reason


PATCHES = (Patch(TakeStep, "apply", _take_anyway),)
