"""Executes what keeps losing its worker in a process apart: only the guilty are blamed.

A dead worker takes all its runs along, and nobody can tell which of them killed it. A run or step
that is one loss away from the limit therefore goes to a process apart, watched by a living one. A
run that is alone there and takes it down is guilty. One that settles a step is cleared, and goes
back to the workers.

A worker that dies twice may leave hundreds of suspects, and a process costs more than a second.
Where more wait than there are places, they share processes; if one dies, its runs share a smaller
one the next time, until the guilty run is alone (group testing: R. Dorfman, "The Detection of
Defective Members of Large Populations", 1943).
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from envelope.errors import Fenced
from envelope.events import EventType
from envelope.ports.journal_rows import Commit, NewEvent, RunEnd, RunState
from worker.engine.parts import EngineParts
from worker.journal.losing import FOREIGN_FAULTS

_PLACES = 4
_LARGEST_GROUP = 16
_SHRINKS_BY = 4


def suspected(parts: EngineParts, losses: int) -> bool:
    """Return whether one more loss is the last."""
    return parts.cell is not None and losses >= parts.settings.max_losses - 1


@dataclass(slots=True, eq=False)
class _Suspect:
    run_id: str
    epoch: int
    group_size: int
    ended: asyncio.Future[RunState | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Isolation:
    """The suspects of this process: those who wait, and four processes at most.

    Args:
        parts: What the process provides.
    """

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._waiting: list[_Suspect] = []
        self._groups: set[asyncio.Task[None]] = set()

    async def execute(self, run_id: str, epoch: int, losses: int) -> RunState | None:
        """Hand a run over to a process apart.

        Returns the state that this process committed; None where the run's own process did.
        """
        suspect = _Suspect(run_id, epoch, self._group_size(losses))
        self._waiting.append(suspect)
        self._begin()
        try:
            return await suspect.ended
        finally:
            if suspect in self._waiting:
                self._waiting.remove(suspect)

    def _group_size(self, losses: int) -> int:
        """A run that lost a shared process as well shares the next one with fewer."""
        shared_before = losses - (self._parts.settings.max_losses - 1)
        return max(1, int(_LARGEST_GROUP // _SHRINKS_BY**shared_before))

    def _begin(self) -> None:
        while self._waiting and len(self._groups) < _PLACES:
            group = self._next_group()
            task = asyncio.create_task(self._execute(group))
            self._groups.add(task)
            task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._groups.discard(task)
        self._begin()

    def _next_group(self) -> Sequence[_Suspect]:
        """Return whoever waits longest, with company only where others wait for want of a place."""
        size = self._waiting[0].group_size
        equals = [suspect for suspect in self._waiting if suspect.group_size == size]
        free = _PLACES - len(self._groups)
        group = equals[:size] if len(self._waiting) > free else equals[:1]
        self._waiting = [suspect for suspect in self._waiting if suspect not in group]
        return group

    async def _execute(self, group: Sequence[_Suspect]) -> None:
        try:
            await self._execute_apart(group)
        except BaseException as error:
            for suspect in group:
                if not suspect.ended.done():
                    suspect.ended.set_exception(error)
            raise

    async def _execute_apart(self, group: Sequence[_Suspect]) -> None:
        cell, cell_id = self._parts.cell, f"isolated-{secrets.token_hex(8)}"
        ours = [suspect for suspect in group if await self._announced(suspect, cell_id)]
        runs = [(suspect.run_id, suspect.epoch) for suspect in ours]
        done = not runs or cell is None
        if cell is not None and runs:
            done = await cell.run(cell_id, self._parts.worker_id, runs) == 0
        limit = self._parts.settings.max_losses * (FOREIGN_FAULTS if len(ours) > 1 else 1)
        for suspect in ours:
            state = None if done else await self._lost(suspect, cell_id, limit)
            if not suspect.ended.done():
                suspect.ended.set_result(state)

    async def _announced(self, suspect: _Suspect, cell_id: str) -> bool:
        """Whether the run is still this process's to hand over, and known to be."""
        if suspect.ended.done():
            return False  # whoever wanted it has gone
        note = NewEvent(type=EventType.RUN_ISOLATED, data=json.dumps({"worker": cell_id}))
        commit = Commit(run_id=suspect.run_id, epoch=suspect.epoch, events=(note,))
        try:
            await self._parts.journal.commit(commit)
        except Fenced:
            suspect.ended.set_result(None)  # another worker has it: this one was thought dead
            return False
        return True

    async def _lost(self, suspect: _Suspect, cell_id: str, limit: int) -> RunState | None:
        """Hold its process's death against a run, if it was in there."""
        rescue = await self._parts.journal.blame(suspect.run_id, cell_id, limit)
        if rescue is None:
            return await self._give_back(suspect)
        self._parts.wakeups.notify(suspect.run_id, "events")
        return rescue.state

    async def _give_back(self, suspect: _Suspect) -> RunState | None:
        """The process died before it took the run over; that was not the run's doing."""
        commit = Commit(
            run_id=suspect.run_id,
            epoch=suspect.epoch,
            events=(NewEvent(type=EventType.RUN_RELEASED),),
            end=RunEnd(state=RunState.QUEUED),
        )
        try:
            await self._parts.journal.commit(commit)
        except Fenced:
            return None  # it had ended, or was given back, before the process died
        return RunState.QUEUED
