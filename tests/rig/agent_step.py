"""Executes one step of an agent as the engine does, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import BaseModel

from agents.context import StepContext
from agents.execution import execute
from agents.registry import AGENTS
from envelope.envelope import MAX_BYTES, Envelope
from envelope.resources import Resources
from envelope.signature import to_canonical


@dataclass
class AgentStep:
    """What the step may use and what it told."""

    resources: Resources
    tenant: str = "default"
    run_id: str = "run-1"
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def run(self, agent: str, request: BaseModel | Mapping[str, Any]) -> Envelope:
        definition = AGENTS.get(agent)
        text = to_canonical(request, definition.model)
        done = asyncio.run(
            execute(
                definition,
                text,
                lambda attempt: self._context(agent, attempt),
                max_bytes=MAX_BYTES,
                sleep=_at_once,
            )
        )
        return done.envelope

    def _context(self, agent: str, attempt: int) -> StepContext:
        return StepContext(
            run_id=self.run_id,
            step="step-1",
            agent=agent,
            attempt=attempt,
            tenant=self.tenant,
            user=None,
            thread=None,
            allow_delivery=False,
            trace_id=None,
            log=structlog.get_logger("test"),
            resources=self.resources,
            emitter=lambda event, data: self.events.append((event, data)),
        )


async def _at_once(_: float) -> None:
    """Do not wait between attempts."""
