"""The Lua scripts of the locks on one connection pool, and Redis's errors as ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from envelope.errors import QueueUnavailable
from worker.coordination.connection import connection

_FOLDER = Path(__file__).parent
NETWORK_SECONDS = 2.0
"""Longest time that Redis may take to answer."""
_AWAY = (OSError, RedisConnectionError, RedisTimeoutError)


class Scripts:
    """Runs scripts by name. Belongs to the event loop that first uses it.

    Args:
        url: Address of Redis. Nothing connects before the first call.
    """

    def __init__(self, url: str) -> None:
        # The limit of time is that of `asking_redis`.
        self.redis = connection(url, answer_seconds=None, repeats=1)
        shared = (_FOLDER / "shared.lua").read_text()
        self._scripts = {
            name: self.redis.register_script(shared + (_FOLDER / f"{name}.lua").read_text())
            for name in ("ask", "give_back", "open", "renew", "restore")
        }

    async def run(self, name: str, keys: Sequence[str], *args: str | int) -> Any:
        """Run a script.

        Raises:
            QueueUnavailable: Redis is away or refuses.
        """
        async with asking_redis():
            return await self._scripts[name](keys=keys, args=args)

    async def close(self) -> None:
        """Close the connections."""
        await self.redis.aclose()


@asynccontextmanager
async def asking_redis(seconds: float = NETWORK_SECONDS) -> AsyncIterator[None]:
    """Limit the time and turn Redis's errors into ours.

    redis-py's own `socket_timeout` may swallow a cancellation on Python 3.11, since it uses
    `asyncio.wait_for`; the client must have none.

    Raises:
        QueueUnavailable: Redis is away or refuses.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except _AWAY as error:
        raise QueueUnavailable(
            f"Redis does not answer ({type(error).__name__}). Check MUSTER_REDIS_URL and that the "
            "server runs, then try again."
        ) from error
    except RedisError as error:
        raise QueueUnavailable(
            f"Redis refuses ({type(error).__name__}: {error}). Check its memory, its role and the "
            "rights of the user in MUSTER_REDIS_URL, then try again."
        ) from error
