"""Permits within this process, for runs without Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from envelope.ports.permits import AgentPermits, PermitAsk
from worker.coordination.permits.desk import Desk
from worker.coordination.permits.names import quoted
from worker.coordination.permits.office import Office


class InProcessPermits:
    """Grants in the same order as Redis does. Nothing is lost here, so nothing is looked for.

    Args:
        office: Where several desks meet; None for one of its own.
        worker_id: Who reports say holds and waits.
    """

    def __init__(self, office: Office | None = None, worker_id: str = "this process") -> None:
        self._office = office or Office()
        self._worker = worker_id
        self._desk = Desk(self._kick)
        self._kicked = False
        self._office.join(worker_id, self._desk.granted)

    async def acquire(self, ask: PermitAsk) -> None:
        """Return when the step's permit is held.

        Raises:
            Unavailable: The permits were closed.
        """
        await self._desk.acquire(ask)

    def release(self, agent: str, run_id: str, step: str) -> None:
        """Give a permit back at the end of this turn of the loop."""
        self._desk.release(agent, run_id, step)

    def told(self, notice: str) -> None:
        """Do nothing: a desk is told of its grants directly."""

    async def look(self) -> None:
        """Do nothing: nothing is lost within a process."""

    async def set_limits(self, limits: Mapping[str, int]) -> None:
        """Make these the limits set at run time."""
        self._office.set_limits({quoted(agent): limit for agent, limit in limits.items()})

    async def report(self) -> Sequence[AgentPermits]:
        """Return all agents that have been asked for, by name."""
        return self._office.report()

    async def close(self) -> None:
        """Give everything back."""
        self._desk.close()
        self._exchange()

    def _kick(self) -> None:
        if not self._kicked:
            self._kicked = True
            asyncio.get_running_loop().call_soon(self._exchange)

    def _exchange(self) -> None:
        self._kicked = False
        while self._desk.has_work:
            batch = self._desk.batch()
            self._desk.confirm(batch, self._office.exchange(self._worker, batch))
