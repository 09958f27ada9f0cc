"""What a dead process held is never taken back."""

from __future__ import annotations

from tests.rig.faults.planted.planting import Patch
from worker.coordination.permits.redis_permits import RedisPermits


async def _take_nothing_back(_permits: RedisPermits, _seen: set[str]) -> None:
    """Leave it with the dead."""


PATCHES = (Patch(RedisPermits, "_take_back", _take_nothing_back),)
