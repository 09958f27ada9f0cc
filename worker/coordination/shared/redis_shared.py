"""The shared store on Redis. Keys: `muster:shared:<key>`, strings that all expire."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import RedisError

from envelope.errors import QueueUnavailable
from orchestrators.flow.process_store import checked_key, checked_ttl
from worker.coordination.connection import connection

T = TypeVar("T")

_FOLDER = Path(__file__).parent
_COUNT = (_FOLDER / "count.lua").read_text("utf-8")
_DISCARD = (_FOLDER / "discard.lua").read_text("utf-8")
_ANSWER_SECONDS = 2.0


class RedisShared:
    """A `SharedStore` for everybody who uses this Redis. Belongs to one event loop.

    An answer takes two seconds at most: whoever asks has something better to do than to wait.

    Args:
        url: Address of Redis.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._redis: Redis | None = None

    async def get(self, key: str) -> str | None:
        """Return the value; None where there is none any more."""
        found = await _answer(self._connection().get(_name(key)))
        return None if found is None else str(found)

    async def put(self, key: str, value: str, ttl: float) -> None:
        """Keep a value for `ttl` seconds, in the place of any other."""
        await _answer(self._connection().set(_name(key), value, px=_milliseconds(ttl)))

    async def add(self, key: str, value: str, ttl: float) -> bool:
        """Keep a value for `ttl` seconds if there is none; return whether it was kept."""
        kept = self._connection().set(_name(key), value, px=_milliseconds(ttl), nx=True)
        return bool(await _answer(kept))

    async def count(self, key: str, ttl: float) -> int:
        """Add 1 to a counter and return it; it is forgotten `ttl` seconds after its first count."""
        return int(await self._run(_COUNT, key, _milliseconds(ttl)))

    async def discard(self, key: str, value: str | None = None) -> bool:
        """Forget a key, or only if it has this value; return whether it was forgotten."""
        if value is None:
            return bool(await _answer(self._connection().delete(_name(key))))
        return bool(await self._run(_DISCARD, key, value))

    async def aclose(self) -> None:
        """Let go of connections."""
        redis, self._redis = self._redis, None
        if redis is not None:
            await redis.aclose()

    async def _run(self, script: str, key: str, argument: str | int) -> Any:
        return await _answer(self._connection().register_script(script)([_name(key)], [argument]))

    def _connection(self) -> Redis:
        if self._redis is None:
            self._redis = connection(self._url, answer_seconds=_ANSWER_SECONDS)
        return self._redis


async def _answer(asked: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await asked
    except (RedisError, OSError, TimeoutError) as error:
        raise QueueUnavailable(
            f"Redis does not answer ({type(error).__name__}), so what processes share is not known "
            "now. Try again when it is back."
        ) from None


def _name(key: str) -> str:
    return f"muster:shared:{quote(checked_key(key), safe='')}"


def _milliseconds(seconds: float) -> int:
    return max(1, round(checked_ttl(seconds) * 1_000))
