"""A step waits for its permit, and gives it back before it begins."""

from __future__ import annotations

from tests.rig.faults.planted.planting import Patch
from worker.engine.permit import HeldPermit

_acquired = HeldPermit.__aenter__


async def _not_held(permit: HeldPermit) -> HeldPermit:
    await _acquired(permit)
    await permit.__aexit__()
    return permit


PATCHES = (Patch(HeldPermit, "__aenter__", _not_held),)
