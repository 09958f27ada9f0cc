"""Events get their numbers before the transaction: one that is refused leaves a gap."""

from __future__ import annotations

from envelope.errors import Fenced
from tests.rig.faults.planted.planting import Patch
from worker.journal.book import Book
from worker.journal.committing import WriteRun

_apply = WriteRun.apply


def _numbered_before(write: WriteRun, book: Book) -> int:
    try:
        return _apply(write, book)
    except Fenced:
        run = book.runs[write.commit.run_id]
        run.events += len(write.commit.events)
        book.touch(run)
        raise


PATCHES = (Patch(WriteRun, "apply", _numbered_before),)
