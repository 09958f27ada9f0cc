"""Rate limits for the whole cluster. Keys and maths: see `turn.lua`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from redis.asyncio import Redis
from redis.exceptions import RedisError

from envelope.errors import QueueUnavailable
from envelope.ports.rates import BucketReport, Rate
from worker.coordination.connection import Presence, connection
from worker.coordination.rates.bucket import Bucket
from worker.coordination.rates.limits import Limits, Sleep
from worker.coordination.rates.turn import Turn
from worker.coordination.rates.wire import INDEX, Memory, TurnWire, bucket_key

_SCRIPT = Path(__file__).with_name("turn.lua").read_text("utf-8")
_AGAIN_SECONDS = 0.25
_FIELDS = ("paid", "paused", "amount", "seconds", "burst")


class RedisRates(Limits):
    """Rate limits that count for everybody who uses this Redis, by Redis's clock.

    Args:
        url: Address of Redis.
        log: A structured logger.
        sleep: Sleeps for so many seconds.
    """

    def __init__(self, url: str, log: Any, *, sleep: Sleep = asyncio.sleep) -> None:
        super().__init__(_RedisLedger(url, log), sleep=sleep)


class _RedisLedger:
    """Plays turns on one connection, one after the other.

    It hands in what it remembers of each bucket, so that a flush refills none.
    """

    def __init__(self, url: str, log: Any) -> None:
        self._url = url
        self._presence = Presence(log, "rates")
        self._process = uuid4().hex
        self._number = 0
        self._memories: dict[str, Memory] = {}
        self._redis: Redis | None = None

    async def play(self, turn: Turn) -> float:
        self._number += 1
        wire = TurnWire(turn, self._number, self._memories)
        keys, arguments = wire.keys(self._process), wire.arguments()
        while True:
            try:
                answer = await self._connection().register_script(_SCRIPT)(keys, arguments)
            except (RedisError, OSError) as error:
                self._presence.away(error)
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                self._presence.back()
                now, memories = wire.unpack(answer)
                self._memories |= memories
                return now

    async def report(self) -> Sequence[BucketReport]:
        try:
            async with self._connection().pipeline(transaction=False) as pipeline:
                names = sorted(await self._connection().smembers(INDEX))
                pipeline.time()
                for name in names:
                    pipeline.hmget(bucket_key(unquote(name)), *_FIELDS)
                (seconds, micros), *found = await pipeline.execute()
        except (RedisError, OSError) as error:
            raise QueueUnavailable(
                f"Redis does not answer ({type(error).__name__}), so the rate limits are not known "
                "now. Try again when it is back."
            ) from None
        now = seconds + micros / 1e6
        read = zip(map(unquote, names), found, strict=True)
        return [_bucket(fields).report(now, key) for key, fields in read if fields[0] is not None]

    async def close(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()

    def _connection(self) -> Redis:
        if self._redis is None:
            self._redis = connection(self._url)
        return self._redis


def _bucket(fields: Sequence[str | None]) -> Bucket:
    paid, paused, *rate = (float(field) if field else 0.0 for field in fields)
    known = Rate(amount=rate[0], seconds=rate[1], burst=rate[2]) if rate[0] else None
    return Bucket(paid, known, paused)
