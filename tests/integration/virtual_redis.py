"""A real Redis whose scripts read a clock that the test sets, behind a line that loses messages."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from redis import Redis as PlainRedis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import NoScriptError

CLOCK = "test:clock"
TICK = 1 / 64
"""Between two eras some time must pass: they are told apart by when they began."""
LOSSES = ("lose request", "lose reply")
_TIME = "redis.call('TIME')"
_NOW = f"redis.call('HMGET', '{CLOCK}', 'seconds', 'micros')"
_TELL_TIME = f"local t = {_NOW} return {{tonumber(t[1]), tonumber(t[2])}}"


def on_the_test_clock(script: str) -> str:
    """Return the script, which then reads `CLOCK` where it read Redis's clock."""
    assert script.count(_TIME) == 1
    return script.replace(_TIME, _NOW)


class VirtualClock:
    """Stands still until it is set; kept in Redis too, where scripts read it."""

    def __init__(self, redis: PlainRedis, now: float = 1_000.0) -> None:
        self._redis = redis
        self.set(now)

    def set(self, now: float) -> None:
        self.now = now
        self._tell(self._redis)

    def flush(self) -> None:
        """Empty Redis of all but its clock, at one stroke."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.flushall()
            self._tell(pipeline)
            pipeline.execute()

    def monotonic(self) -> float:
        return self.now

    def _tell(self, redis: PlainRedis) -> None:
        seconds, part = divmod(self.now, 1)
        redis.hset(CLOCK, mapping={"seconds": int(seconds), "micros": round(part * 1e6)})


class LossyRedis(Redis):
    """A client of scripts that may lose calls.

    Attributes:
        coming: What happens to its next calls: one of LOSSES each.
        sent: The calls that were executed one by one.
    """

    coming: list[str]
    sent: list[tuple[Any, ...]]

    @classmethod
    def to(cls, url: str) -> LossyRedis:
        pool = BlockingConnectionPool.from_url(url, max_connections=16, decode_responses=True)
        made = cls.from_pool(pool)
        made.coming, made.sent = [], []
        return made

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] != "EVALSHA":
            return await super().execute_command(*args, **options)
        answer = await self._through(super().execute_command(*args, **options))
        self.sent.append(args)
        return answer

    async def deliver_again(self, back: int) -> None:
        """A call that was executed arrives once more, as if it had been on its way."""
        if back <= len(self.sent):
            with suppress(NoScriptError):
                await super().execute_command(*self.sent[-back])

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        pipeline: Any = super().pipeline(transaction, shard_hint)
        execute = pipeline.execute
        pipeline.execute = lambda **how: self._through(execute(**how))
        pipeline.time = lambda: pipeline.eval(_TELL_TIME, 0)
        return pipeline

    async def _through(self, call: Awaitable[Any]) -> Any:
        trouble = self.coming.pop(0) if self.coming else ""
        if trouble == "lose request":
            call.close()  # type: ignore[attr-defined]
            raise ConnectionError(trouble)
        answer = await call
        if trouble == "lose reply":
            raise ConnectionError(trouble)
        return answer
