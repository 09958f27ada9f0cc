"""A second message for a run executes it, although a living process has it."""

from __future__ import annotations

from envelope.ports.journal_rows import RunState
from tests.rig.faults.planted.planting import Patch
from worker.journal.book import Book
from worker.journal.claiming import TakeRun
from worker.journal.rows import RunRow


def _always_free(_take: TakeRun, run: RunRow, _book: Book) -> bool:
    return run.state in {RunState.QUEUED, RunState.RUNNING}


PATCHES = (Patch(TakeRun, "_free", _always_free),)
