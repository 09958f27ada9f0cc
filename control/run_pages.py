"""Lists of runs that are longer than one page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

from envelope.ports.journal import Journal
from envelope.ports.journal_rows import (
    TERMINAL_STATES,
    Run,
    RunFilter,
    RunState,
)

ACTIVE_STATES = frozenset(RunState) - TERMINAL_STATES
"""The states of a run that has not ended."""

_PAGE = 200


async def every_run(journal: Journal, which: RunFilter) -> AsyncIterator[Run]:
    """Yield all runs that fit, newest first; the `limit` of the filter does not count."""
    before = which.before
    while page := await journal.runs(replace(which, before=before, limit=_PAGE)):
        for run in page:
            yield run
        before = page[-1].run_id
