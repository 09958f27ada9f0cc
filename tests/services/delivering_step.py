"""Executes a step that delivers, as the engine does, on the test's own loop."""

from collections.abc import Mapping
from typing import Any

import structlog
from pydantic import BaseModel

from agents.context import StepContext
from agents.execution import execute
from agents.registry import AGENTS
from envelope.envelope import MAX_BYTES, Envelope
from envelope.ports.effects import Effects
from envelope.resources import Resources
from envelope.signature import to_canonical


class DeliveringStep:
    """Runs agents with `effects`; `waits` are the pauses between attempts, which are not waited."""

    def __init__(
        self, resources: Resources, effects: Effects, *, allow_delivery: bool = True
    ) -> None:
        self.waits: list[float] = []
        self._resources, self._effects, self._allow = resources, effects, allow_delivery

    async def run(self, agent: str, request: BaseModel | Mapping[str, Any]) -> Envelope:
        definition = AGENTS.get(agent)
        done = await execute(
            definition,
            to_canonical(request, definition.model),
            lambda attempt: self._context(agent, attempt),
            max_bytes=MAX_BYTES,
            sleep=self._note,
        )
        return done.envelope

    async def _note(self, seconds: float) -> None:
        self.waits.append(seconds)

    def _context(self, agent: str, attempt: int) -> StepContext:
        return StepContext(
            run_id="run-1",
            step="step-1",
            agent=agent,
            attempt=attempt,
            tenant="t1",
            user=None,
            thread=None,
            allow_delivery=self._allow,
            trace_id=None,
            log=structlog.get_logger("test"),
            resources=self._resources,
            emitter=lambda event, data: None,
            effects=self._effects,
        )
