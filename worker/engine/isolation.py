"""Executes what keeps losing its worker in a process apart: only the guilty are blamed.

A dead worker takes all its runs along, and nobody can tell which of them killed it. A run or step
that is one loss away from the limit therefore goes to a process apart, watched by a living one. A
run that is alone there and takes it down is guilty. One that settles a step is cleared, and goes
back to the workers. A process that hangs takes itself down, before its lease lapses
(`worker.engine.watchdog`): its watcher only ever has to wait for its end.

A worker that dies twice may leave hundreds of suspects, and a process costs more than a second.
Where more wait than there are places, they share processes; if one dies, its runs share a smaller
one the next time, until the guilty run is alone (group testing: R. Dorfman, "The Detection of
Defective Members of Large Populations", 1943).
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field

from envelope.errors import Fenced
from envelope.events import EventType
from envelope.ports.journal_rows import RunState
from envelope.ports.journal_writes import Commit, NewEvent, RunEnd
from worker.engine.notices import tell_watchers
from worker.engine.parts import EngineParts
from worker.engine.persist import uninterrupted, until_written
from worker.journal.losing import FOREIGN_FAULTS

_PLACES = 4
_LARGEST_GROUP = 16
_SHRINKS_BY = 4

_NO_FAULT = frozenset({0, -signal.SIGTERM})
"""How a process ends that has done its work, or that was asked to stop."""


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

    def told(self, state: RunState | None) -> None:
        """Tell whoever waits for the run, if somebody still does."""
        if not self.ended.done():
            self.ended.set_result(state)


class Isolation:
    """The suspects of this process: those who wait, and four processes at most.

    Args:
        parts: What the process provides.
    """

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._waiting: list[_Suspect] = []
        self._groups: set[asyncio.Task[None]] = set()
        self._draining = False

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

    async def drain(self) -> None:
        """Give back who waits, and have the processes give back what they hold."""
        self._draining = True
        waiting, self._waiting = self._waiting, []
        for suspect in waiting:
            suspect.told(await self._give_back(suspect))
        for group in list(self._groups):
            group.cancel()
        await asyncio.gather(*self._groups, return_exceptions=True)

    def _group_size(self, losses: int) -> int:
        """A run that lost a shared process as well shares the next one with fewer."""
        shared_before = losses - (self._parts.settings.max_losses - 1)
        return max(1, int(_LARGEST_GROUP // _SHRINKS_BY**shared_before))

    def _begin(self) -> None:
        while self._waiting and len(self._groups) < _PLACES and not self._draining:
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
        """Have a group executed. However that ends, nobody stays owned and unexecuted."""
        cell_id = f"isolated-{secrets.token_hex(8)}"
        ours: list[_Suspect] = []
        try:
            ours = [suspect for suspect in group if await self._announced(suspect, cell_id)]
            code = await self._exit_code(cell_id, ours)
        except asyncio.CancelledError:
            await uninterrupted(self._give_all_back(group))
            raise
        if code is None or code in _NO_FAULT:
            await self._give_all_back(ours)
            return
        limit = self._parts.settings.max_losses * (FOREIGN_FAULTS if len(ours) > 1 else 1)
        for suspect in ours:
            suspect.told(await self._lost(suspect, cell_id, limit))

    async def _exit_code(self, cell_id: str, group: Sequence[_Suspect]) -> int | None:
        """Return how the group's process ended; None where it did not even start."""
        if self._parts.cell is None or not group:
            return None
        runs = [(suspect.run_id, suspect.epoch) for suspect in group]
        try:
            return await self._parts.cell.run(cell_id, self._parts.worker_id, runs)
        except OSError as error:
            self._parts.log.warning("isolation.no_process", error=str(error), runs=len(runs))
            return None

    async def _announced(self, suspect: _Suspect, cell_id: str) -> bool:
        """Whether the run is still this process's to hand over, and known to be."""
        note = NewEvent(type=EventType.RUN_ISOLATED, data=json.dumps({"worker": cell_id}))
        commit = Commit(run_id=suspect.run_id, epoch=suspect.epoch, events=(note,))
        try:
            await self._written(commit)
        except Fenced:
            suspect.told(None)  # another worker has it: this one was thought dead
            return False
        return True

    async def _lost(self, suspect: _Suspect, cell_id: str, limit: int) -> RunState | None:
        """Hold its process's death against a run, if it was in there."""
        blame = self._parts.journal.blame
        rescue = await until_written(lambda: blame(suspect.run_id, cell_id, limit), self._parts.log)
        if rescue is None:
            return await self._give_back(suspect)
        self._parts.telemetry.rescued([rescue])
        tell_watchers(self._parts.wakeups, suspect.run_id, rescue.state)
        return rescue.state

    async def _give_all_back(self, group: Sequence[_Suspect]) -> None:
        for suspect in group:
            suspect.told(await self._give_back(suspect))

    async def _give_back(self, suspect: _Suspect) -> RunState | None:
        """Queue what this process still owns; a process that died before it took it over is no
        fault of the run's.
        """
        commit = Commit(
            run_id=suspect.run_id,
            epoch=suspect.epoch,
            events=(NewEvent(type=EventType.RUN_RELEASED),),
            end=RunEnd(state=RunState.QUEUED),
        )
        try:
            await self._written(commit)
        except Fenced:
            return None  # its own process, or another worker, has it or had it
        return RunState.QUEUED

    async def _written(self, commit: Commit) -> None:
        await until_written(lambda: self._parts.journal.commit(commit), self._parts.log)
