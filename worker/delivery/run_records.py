"""Records of earlier runs, read from the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.drafts.port import KnownRecords
from envelope.envelope import Envelope
from envelope.errors import UnknownRun
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Step
from envelope.record import Record
from worker.engine.persist import until_written

_WORK = frozenset({"agent", "undo"})


class JournalRecords:
    """Implements `agents.drafts.port.RunRecords`.

    Args:
        journal: Where the runs are.
        log: Told while the journal is away.
    """

    def __init__(self, journal: Journal, log: Any) -> None:
        self._journal = journal
        self._log = log

    async def read(self, run_id: str, tenant: str) -> KnownRecords:
        """Return the records of a run of that tenant; see `RunRecords.read`."""
        return await until_written(lambda: self._read(run_id, tenant), self._log)

    async def _read(self, run_id: str, tenant: str) -> KnownRecords:
        run = await self._journal.run(run_id)
        if run is None or run.tenant != tenant:
            raise UnknownRun(f"There is no run {run_id!r}. `muster runs list` shows the newest.")
        final = _records(run.envelope)
        made = _made(await self._journal.steps(run_id))
        return KnownRecords(final=final, by_id={record.id: record for record in [*made, *final]})


def _made(steps: Sequence[Step]) -> list[Record]:
    results = [step.result for step in steps if step.kind in _WORK]
    return [record for result in results for record in _records(result)]


def _records(text: str | None) -> Sequence[Record]:
    return () if text is None else Envelope.from_json(text, max_bytes=None).records
