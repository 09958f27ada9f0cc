"""How many permits are held and waited for: for a scrape, from any thread."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import unquote

from redis import Redis

from worker.coordination.permits.scripts import script


@dataclass(frozen=True, slots=True)
class PermitCount:
    """One agent's permits: its limit, how many are held, how many steps wait for one."""

    agent: str
    limit: int
    held: int
    waiting: int


def count_permits(url: str, seconds: float) -> Sequence[PermitCount]:
    """Count over a connection of its own; the cost grows with the agents, not with who waits.

    Args:
        url: Address of Redis.
        seconds: Longest time for an answer.

    Raises:
        RedisError: Redis is away.
    """
    with Redis.from_url(
        url, decode_responses=True, socket_connect_timeout=seconds, socket_timeout=seconds
    ) as redis:
        counted = cast("Any", redis.register_script(script("count")))(args=["{}"])
    return [
        PermitCount(unquote(agent), *figures) for agent, *figures in json.loads(counted)["agents"]
    ]
