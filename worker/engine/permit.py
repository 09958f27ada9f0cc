"""A step's permit, from before it runs or is published until its outcome is committed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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


@asynccontextmanager
async def permit(parts: EngineParts, ask: PermitAsk) -> AsyncIterator[None]:
    """Hold the permit; give it back unless another process has taken it over."""
    await parts.permits.acquire(ask)
    try:
        yield
    finally:
        parts.permits.release(ask.agent, ask.run_id, ask.step)
