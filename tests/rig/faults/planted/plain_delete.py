"""A lock is released by deleting it, whoever has it by now."""

from __future__ import annotations

from collections.abc import Sequence

from tests.rig.faults.planted.planting import Patch
from worker.coordination.locks.keys import lock_of
from worker.coordination.locks.returns import Return, Returns


async def _delete(returns: Returns, batch: Sequence[Return]) -> list[bool]:
    redis = returns._scripts.redis
    return [bool(await redis.delete(lock_of(given.name))) for given in batch]


PATCHES = (Patch(Returns, "_send", _delete),)
