"""A backend in memory for tests of the control side, and what is asked about it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from control.surroundings import Surroundings
from envelope.errors import QueueUnavailable
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import Hint
from envelope.ports.permits import AgentPermits
from worker.backend import Backend
from worker.coordination.budgets.in_process import InProcessBudgets
from worker.coordination.locks.in_process import InProcessLocks
from worker.coordination.permits.in_process import InProcessPermits
from worker.coordination.rates.in_process import InProcessRates
from worker.journal.memory import MemoryJournal
from worker.settings import Settings
from worker.wakeups.in_process import InProcessWakeups


class RecordingQueue:
    """Keeps what is sent, or is away."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away
        self.sent: list[Hint] = []
        self.calls = 0

    async def enqueue(self, hints: Sequence[Hint]) -> None:
        self.calls += 1
        if self.away:
            raise QueueUnavailable("Redis does not answer.")
        self.sent += hints

    async def depth(self, topics: Sequence[str]) -> dict[str, int]:
        if self.away:
            raise QueueUnavailable("Redis does not answer.")
        return {topic: sum(f"runs.{hint.flow}" == topic for hint in self.sent) for topic in topics}

    async def close(self) -> None:
        pass


class ToldWakeups(InProcessWakeups):
    """Remembers every notice."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str]] = []

    def notify(self, channel: str, notice: str) -> None:
        self.told.append((channel, notice))
        super().notify(channel, notice)


def backend_over(
    *, journal: Journal | None = None, queue: Any = None, wakeups: Any = None, **settings: Any
) -> Backend:
    """A backend in memory, but for the parts that are given."""
    kept = journal or MemoryJournal()
    return Backend(
        settings=Settings.load(**settings),
        journal=kept,
        queue=queue,
        wakeups=wakeups or InProcessWakeups(),
        permits=InProcessPermits(),
        rates=InProcessRates(),
        locks=InProcessLocks(),
        budgets=InProcessBudgets(kept.spent),
        worker_id="client",
    )


class AwayPermits(InProcessPermits):
    """Permits whose Redis is away."""

    async def report(self) -> Sequence[AgentPermits]:
        raise QueueUnavailable("Redis does not answer.")


class StuckPermits(InProcessPermits):
    """Permits whose Redis says nothing."""

    async def report(self) -> Sequence[AgentPermits]:
        await asyncio.Event().wait()
        return []


def test_redis_being_away_is_an_answer() -> None:
    async def scenario() -> None:
        around = Surroundings(
            journal=MemoryJournal(), queue=RecordingQueue(away=True), permits=AwayPermits()
        )
        assert await around.depth("runs.one") is None
        assert await around.agents() is None
        assert await around.held_locks() is None
        assert (
            await Surroundings(journal=MemoryJournal(), locks=InProcessLocks()).held_locks() == []
        )

    asyncio.run(scenario())


def test_a_redis_that_says_nothing_is_given_up(monkeypatch: Any) -> None:
    monkeypatch.setattr("control.surroundings._PATIENCE_SECONDS", 0.01)

    async def scenario() -> None:
        assert await Surroundings(journal=MemoryJournal(), permits=StuckPermits()).agents() is None

    asyncio.run(scenario())
