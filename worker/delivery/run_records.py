"""Records of earlier runs, read from the journal."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from agents.drafts.port import KnownRecords
from envelope.envelope import Envelope
from envelope.errors import UnknownRun
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import TERMINAL_STATES, Run, Step
from envelope.record import Record
from worker.engine.persist import until_written

_WORK = frozenset({"agent", "undo"})
_KEPT_RUNS = 4


class JournalRecords:
    """Implements `agents.drafts.port.RunRecords`.

    Who sends many drafts of one run asks once for each, most of them at the same time: a run that
    has ended is read once. The last few are kept.

    Args:
        journal: Where the runs are.
        log: Told while the journal is away.
    """

    def __init__(self, journal: Journal, log: Any) -> None:
        self._journal = journal
        self._log = log
        self._one_at_a_time = asyncio.Lock()
        self._ended: OrderedDict[str, KnownRecords] = OrderedDict()

    async def read(self, run_id: str, tenant: str) -> KnownRecords:
        """Return the records of a run of that tenant; see `RunRecords.read`."""
        async with self._one_at_a_time:
            return await until_written(lambda: self._read(run_id, tenant), self._log)

    async def _read(self, run_id: str, tenant: str) -> KnownRecords:
        run = await self._journal.run(run_id)
        if run is None or run.tenant != tenant:
            raise UnknownRun(f"There is no run {run_id!r}. `muster runs list` shows the newest.")
        known = self._ended.get(run_id) or await self._records(run)
        if run.state in TERMINAL_STATES:
            self._keep(run_id, known)
        return known

    async def _records(self, run: Run) -> KnownRecords:
        final = _records(run.envelope)
        made = _made(await self._journal.steps(run.run_id))
        return KnownRecords(final=final, by_id={record.id: record for record in [*made, *final]})

    def _keep(self, run_id: str, known: KnownRecords) -> None:
        self._ended[run_id] = known
        self._ended.move_to_end(run_id)
        if len(self._ended) > _KEPT_RUNS:
            self._ended.popitem(last=False)


def _made(steps: Sequence[Step]) -> list[Record]:
    results = [step.result for step in steps if step.kind in _WORK]
    return [record for result in results for record in _records(result)]


def _records(text: str | None) -> Sequence[Record]:
    return () if text is None else Envelope.from_json(text, max_bytes=None).records
