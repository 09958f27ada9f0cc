"""A run is acknowledged to its caller while its row is still on the way to the disk."""

from __future__ import annotations

import asyncio

from envelope.ports.journal_rows import Accepted
from envelope.ports.journal_writes import NewRun
from tests.rig.faults.planted.planting import Patch
from worker.journal.sql import SqlJournal

_accept = SqlJournal.accept
_on_the_way: set[asyncio.Task[Accepted]] = set()


async def _acknowledge(journal: SqlJournal, new: NewRun) -> Accepted:
    _on_the_way.add(asyncio.ensure_future(_accept(journal, new)))
    return Accepted(run_id=new.run_id, created=True)


PATCHES = (Patch(SqlJournal, "accept", _acknowledge),)
