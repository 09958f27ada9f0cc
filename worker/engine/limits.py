"""How many steps of an agent run at once in this process."""

from __future__ import annotations

import asyncio

from agents.definition import AgentDefinition


class ProcessLimits:
    """One semaphore per agent."""

    def __init__(self) -> None:
        self._free: dict[str, asyncio.Semaphore] = {}

    def slot(self, agent: AgentDefinition) -> asyncio.Semaphore:
        """Return what to hold (`async with`) while a step of `agent` executes."""
        return self._free.setdefault(agent.name, asyncio.Semaphore(agent.concurrency))
