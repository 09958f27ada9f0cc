"""A step's permit, from before it runs or is published until its outcome is committed."""

from __future__ import annotations

from typing import Self

from agents.definition import AgentDefinition
from envelope.ports.journal_rows import Run
from envelope.ports.permits import PermitAsk
from worker.engine.parts import EngineParts


def permit_ask(run: Run, step: str, agent: AgentDefinition) -> PermitAsk:
    """Return what a step asks for."""
    return PermitAsk(
        agent=agent.name,
        run_id=run.run_id,
        step=step,
        limit=agent.concurrency,
        tenant=run.tenant,
        priority=run.priority,
    )


class HeldPermit:
    """A permit that a step of this process holds inside `async with`.

    It is given back at the end, unless another process has taken it over.
    """

    __slots__ = ("_ask", "_lapses", "_parts")

    def __init__(self, parts: EngineParts, ask: PermitAsk) -> None:
        self._parts = parts
        self._ask = ask
        self._lapses = parts.hold.lapses

    async def __aenter__(self) -> Self:
        await self._parts.permits.acquire(self._ask)
        return self

    async def __aexit__(self, *_error: object) -> None:
        ask = self._ask
        self._parts.permits.release(ask.agent, ask.run_id, ask.step)

    async def assured(self) -> None:
        """Return when the lease holds and the permit is the step's.

        While the lease had lapsed this process counted as dead: the permit may have been taken back
        and given to somebody else, so it is asked for again.
        """
        await self._parts.hold.assured()
        while self._lapses != self._parts.hold.lapses:
            self._lapses = self._parts.hold.lapses
            await self._parts.permits.acquire(self._ask)
            await self._parts.hold.assured()
