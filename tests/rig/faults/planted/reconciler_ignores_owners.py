"""The reconciler queues every running run again, whether its owner lives or not."""

from __future__ import annotations

from collections.abc import Sequence

from envelope.ports.journal_rows import Rescue
from tests.rig.faults.planted.planting import Patch
from worker.journal.book import Book
from worker.journal.losing import RescueRuns

_apply = RescueRuns.apply


def _rescue_all(rescue: RescueRuns, book: Book) -> Sequence[Rescue]:
    living, book.living = book.living, frozenset()
    try:
        return _apply(rescue, book)
    finally:
        book.living = living


PATCHES = (Patch(RescueRuns, "apply", _rescue_all),)
