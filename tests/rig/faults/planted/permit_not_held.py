"""A step waits for its permit, and gives it back before it begins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from envelope.ports.permits import PermitAsk
from tests.rig.faults.planted.planting import Patch
from worker.engine import queued_step, steps
from worker.engine.parts import EngineParts
from worker.engine.permit import HeldPermit


@asynccontextmanager
async def _not_held(parts: EngineParts, ask: PermitAsk) -> AsyncIterator[HeldPermit]:
    await parts.permits.acquire(ask)
    parts.permits.release(ask.agent, ask.run_id, ask.step)
    yield HeldPermit(parts, ask)


PATCHES = (Patch(steps, "permit", _not_held), Patch(queued_step, "permit", _not_held))
