"""Tells when a run that is executed in this process goes on only if somebody else acts."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from envelope.errors import JournalUnavailable
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Step, StepState
from worker.engine.engine import Engine
from worker.engine.execution import RunExecution

_LOOK_SECONDS = 0.1
_LOOKS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What the runs of a family have recorded, and whether one of them sleeps.

    Between the end of a sleep and what follows it, a run looks as if it stood still: one that slept
    at the first look has to be looked at anew.
    """

    done: dict[str, int]
    asleep: bool


@dataclass(slots=True, eq=False)
class _Watch:
    """A run that somebody waits for; `looks` counts those that found it idle in a row."""

    run_id: str
    looks: int = 0
    seen: _Seen | None = None
    still: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Standstill:
    """Looks at runs until they, and all that belong to them, have only waited for a while.

    They wait for a signal, an approval, or a run that waits itself. A sleep does not count: it ends
    without anybody.

    Args:
        engine: Executes the runs.
        journal: Where they record what they do.
    """

    def __init__(self, engine: Engine, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal
        self._watches: set[_Watch] = set()
        self._looking: asyncio.Task[None] | None = None

    @contextmanager
    def of(self, run_id: str) -> Iterator[asyncio.Future[None]]:
        """Give a future that is done when the run stands still."""
        watch = _Watch(run_id)
        self._watches.add(watch)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_while_watched())
        try:
            yield watch.still
        finally:
            self._watches.discard(watch)
            watch.still.cancel()

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look_while_watched(self) -> None:
        while self._watches:
            await asyncio.sleep(_LOOK_SECONDS)
            idle = [watch for watch in self._watches if self._is_idle(watch)]
            families = self._families() if idle else {}
            for watch in idle:
                with suppress(JournalUnavailable):  # the run waits for it as well: no standstill
                    await self._look(watch, families)

    def _is_idle(self, watch: _Watch) -> bool:
        execution = self._engine.running.get(watch.run_id)
        idle = execution is not None and execution.idle
        watch.looks = watch.looks if idle else 0
        return idle

    def _families(self) -> dict[str, list[RunExecution]]:
        """A run with its parents and children, by the id of the first."""
        families: defaultdict[str, list[RunExecution]] = defaultdict(list)
        for execution in self._engine.running.values():
            families[_root(execution)].append(execution)
        return families

    async def _look(self, watch: _Watch, families: dict[str, list[RunExecution]]) -> None:
        """Count looks and not time: after the loop was held up, what looks idle may not be."""
        execution = self._engine.running.get(watch.run_id)
        family = families.get(_root(execution), []) if execution else []
        if not family or not all(each.idle for each in family):
            watch.looks = 0
            return
        watch.looks += 1
        if 1 < watch.looks < _LOOKS:
            return
        before, watch.seen = watch.seen, await self._seen(family)
        if watch.looks == _LOOKS:
            watch.looks = 1
            if watch.seen == before and not watch.seen.asleep and not watch.still.done():
                watch.still.set_result(None)

    async def _seen(self, family: Sequence[RunExecution]) -> _Seen:
        steps = {each.run.run_id: await self._journal.steps(each.run.run_id) for each in family}
        return _Seen(
            done={run_id: len(rows) for run_id, rows in steps.items()},
            asleep=any(_sleeps(steps[each.run.run_id], each.now) for each in family),
        )


def _root(execution: RunExecution) -> str:
    return execution.run.root_id or execution.run.run_id


def _sleeps(steps: Sequence[Step], now: float) -> bool:
    """The time limit of a wait for a signal is kept as `failed`, that of a sleep is not."""
    slept = [each for each in steps if each.kind == "until" and each.state is StepState.SUCCEEDED]
    return any(float(json.loads(each.result)) > now for each in slept if each.result is not None)
