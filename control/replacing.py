"""`on_conflict="replace"`: the newest run takes the place of those that have its singleton key."""

from __future__ import annotations

from dataclasses import replace

from control.receipt import Receipt
from control.run_pages import ACTIVE_STATES, every_run
from control.steering import Steering
from envelope.errors import JournalUnavailable
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import RunFilter


async def replace_older(journal: Journal, steering: Steering, receipt: Receipt) -> Receipt:
    """Cancel the active runs with the receipt's singleton key that are older than its run.

    The run is accepted by then: a database that goes away now is told in the receipt's notice.
    """
    which = RunFilter(states=ACTIVE_STATES, singleton=receipt.singleton, before=receipt.run_id)
    replaced: list[str] = []
    try:
        async for older in every_run(journal, which):
            await steering.cancel(older.run_id, f"replaced by run {receipt.run_id}")
            replaced.append(older.run_id)
        await steering.wake(receipt.run_id)
    except JournalUnavailable as error:
        notice = f"Runs that this one replaces were not all cancelled: {error}"
        return replace(receipt, replaced=tuple(replaced), notice=notice)
    return replace(receipt, replaced=tuple(replaced))
