"""The second release: version 2, and still version 1 for the runs that began with it."""

from release_1 import Naps, naps

from envelope import Envelope
from envelope.ports.context import RunContext
from orchestrators import orchestrator


@orchestrator("released_naps", version=2)
async def released_naps(ctx: RunContext, request: Naps) -> Envelope:
    return await naps(ctx, request, "new")
