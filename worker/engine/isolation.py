"""Executes what keeps losing its worker in a process of its own: only the guilty are blamed.

A dead worker takes all its runs along, and nobody can tell which of them killed it. A run or step
that is one loss away from the limit therefore gets a process to itself, watched by a living one:
if that dies, it was the run's own doing.
"""

from __future__ import annotations

import json
import secrets

from envelope.errors import Fenced
from envelope.events import EventType
from envelope.ports.journal_rows import Commit, NewEvent, RunEnd, RunState
from worker.engine.parts import EngineParts


def suspected(parts: EngineParts, losses: int) -> bool:
    """Return whether one more loss is the last."""
    return parts.cell is not None and losses >= parts.settings.max_losses - 1


async def run_isolated(parts: EngineParts, run_id: str, epoch: int) -> RunState | None:
    """Hand a run over to a process of its own, and blame the run if that process dies.

    Returns the state that this process committed; None where the run's own process did.
    """
    cell_id = f"isolated-{secrets.token_hex(8)}"
    note = NewEvent(type=EventType.RUN_ISOLATED, data=json.dumps({"worker": cell_id}))
    try:
        await parts.journal.commit(Commit(run_id=run_id, epoch=epoch, events=(note,)))
        if parts.cell is None or await parts.cell.run(cell_id, run_id, parts.worker_id, epoch) == 0:
            return None
        rescue = await parts.journal.blame(run_id, cell_id, parts.settings.max_losses)
        if rescue is None:
            return await _give_back(parts, run_id, epoch)
    except Fenced:
        return None  # another worker has the run: this one was thought dead
    parts.wakeups.notify(run_id, "events")
    return rescue.state


async def _give_back(parts: EngineParts, run_id: str, epoch: int) -> RunState:
    """The process died before it took the run over; that was not the run's doing."""
    end = RunEnd(state=RunState.QUEUED)
    released = NewEvent(type=EventType.RUN_RELEASED)
    await parts.journal.commit(Commit(run_id=run_id, epoch=epoch, events=(released,), end=end))
    return RunState.QUEUED
