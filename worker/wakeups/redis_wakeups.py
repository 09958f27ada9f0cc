"""Wake-ups over Redis pub/sub. Keys: none; channels: `muster:wake:<channel>`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

_PREFIX = "muster:wake:"
_AGAIN_SECONDS = 0.5
_SILENCE_SECONDS = 5.0


class RedisWakeups:
    """Publishes what one loop turn gathers in one pipeline; equal notices travel once.

    Belongs to the event loop that first uses it.

    Args:
        url: Address of Redis.
        log: A structured logger.
    """

    def __init__(self, url: str, log: Any) -> None:
        self._url = url
        self._log = log
        self._pending: dict[tuple[str, str], None] = {}
        self._redis: Redis | None = None
        self._sending: asyncio.Task[None] | None = None

    def notify(self, channel: str, notice: str) -> None:
        """Send a notice with the next batch."""
        self._pending[channel, notice] = None
        if self._sending is None or self._sending.done():
            self._sending = asyncio.ensure_future(self._send())

    async def listen(self, channel: str) -> AsyncIterator[str]:
        """Yield notices; the empty one after every (re)connection."""
        while True:
            try:
                async with self._connection().pubsub() as subscription:
                    await subscription.subscribe(_PREFIX + channel)
                    yield ""
                    async for notice in _notices(subscription):
                        yield notice
            except (RedisError, OSError) as error:
                self._log.warning("wakeups.away", error=type(error).__name__)
                await asyncio.sleep(_AGAIN_SECONDS)

    async def close(self) -> None:
        """Send what is pending and close the connections."""
        if self._sending is not None:
            await self._sending
        if self._redis is not None:
            await self._redis.aclose()

    async def _send(self) -> None:
        while self._pending:
            batch, self._pending = list(self._pending), {}
            try:
                async with self._connection().pipeline(transaction=False) as pipeline:
                    for channel, notice in batch:
                        pipeline.publish(_PREFIX + channel, notice)
                    await pipeline.execute()
            except (RedisError, OSError) as error:
                # Lost: whoever waits also looks by itself.
                self._log.debug("wakeups.lost", notices=len(batch), error=type(error).__name__)

    def _connection(self) -> Redis:
        if self._redis is None:
            self._redis = Redis.from_url(
                self._url,
                decode_responses=True,
                socket_connect_timeout=2,
                socket_timeout=_SILENCE_SECONDS * 2,
                socket_keepalive=True,
                health_check_interval=_SILENCE_SECONDS,
            )
        return self._redis


async def _notices(subscription: Any) -> AsyncIterator[str]:
    """Yield messages; silence is no reason to end, a dead connection is: `ping` finds it."""
    while True:
        message = await subscription.get_message(
            ignore_subscribe_messages=True, timeout=_SILENCE_SECONDS
        )
        if message is not None:
            yield message["data"]
        else:
            await subscription.ping()
