"""Which flow is running here: no flow may do what is left to people."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from envelope.envelope import Envelope
from envelope.ports.context import RunContext
from orchestrators.definition import FlowDefinition

RUNNING_FLOW: ContextVar[str | None] = ContextVar("muster_running_flow", default=None)


async def run_flow(definition: FlowDefinition, ctx: RunContext, request: Any) -> Envelope:
    """Return what the flow's code returns; `RUNNING_FLOW` names its run to everything below."""
    token = RUNNING_FLOW.set(ctx.run_id)
    try:
        return await definition.function(ctx, request)
    finally:
        RUNNING_FLOW.reset(token)
