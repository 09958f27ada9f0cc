"""Wake-ups over Redis pub/sub. Keys: none; channels: `muster:wake:<channel>`."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from worker.coordination.connection import Line

_PREFIX = "muster:wake:"
_AGAIN_SECONDS = 0.5
_SILENCE_SECONDS = 5.0

Listeners = defaultdict[str, set["asyncio.Queue[str]"]]


class RedisWakeups:
    """One connection that publishes and one that listens, whatever the number of listeners.

    What one loop turn publishes travels in one pipeline, equal notices once. Belongs to the event
    loop that first uses it.

    Args:
        url: Address of Redis.
        log: A structured logger.
        told: Told for each batch that went out how many seconds its oldest notice had waited.
    """

    def __init__(
        self, url: str, log: Any, *, told: Callable[[float], None] = lambda _: None
    ) -> None:
        self._url = url
        self._log = log
        self._told = told
        self._line = Line(url)
        self._redis: Redis | None = None
        self._pending: dict[tuple[str, str], float] = {}
        self._sending: asyncio.Task[None] | None = None
        self._listeners: Listeners = defaultdict(set)
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._closing = False

    def notify(self, channel: str, notice: str) -> None:
        """Send a notice with the next batch."""
        self._pending.setdefault((channel, notice), time.monotonic())
        if self._sending is None or self._sending.done():
            self._sending = asyncio.ensure_future(self._send())

    async def listen(self, channel: str) -> AsyncIterator[str]:
        """Yield notices; the empty one after every (re)connection."""
        notices: asyncio.Queue[str] = asyncio.Queue()
        if self._listeners[channel]:
            notices.put_nowait("")  # the channel is subscribed, or about to be
        self._listeners[channel].add(notices)
        self._changed.set()
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read_for_ever())
        try:
            while True:
                yield await notices.get()
        finally:
            self._listeners[channel].discard(notices)
            if not self._listeners[channel]:
                del self._listeners[channel]
            self._changed.set()

    async def close(self) -> None:
        """Send what is pending and close the connections."""
        if self._sending is not None:
            await self._sending
        self._closing = True
        self._changed.set()
        while self._reading is not None and not self._reading.done():
            # A task group whose child fails just then swallows the cancellation, and a child that
            # was cancelled within a timeout of the client may: both look at `_closing` as well.
            self._reading.cancel()
            await asyncio.wait({self._reading}, timeout=_AGAIN_SECONDS)
        await self._line.close()
        if self._redis is not None:
            await self._redis.aclose()

    async def _send(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, {}
            try:
                notices = [("PUBLISH", _PREFIX + channel, notice) for channel, notice in batch]
                await self._line.ask(*notices)
                self._told(time.monotonic() - min(batch.values()))
            except (RedisError, OSError) as error:
                # Lost: whoever waits also looks by itself.
                self._log.debug("wakeups.lost", notices=len(batch), error=type(error).__name__)

    async def _read_for_ever(self) -> None:
        while not self._closing:
            try:
                async with self._connection().pubsub() as subscription:
                    await subscription.subscribe(_PREFIX)  # keeps an idle connection open
                    async with asyncio.TaskGroup() as together:
                        together.create_task(self._follow(subscription))
                        together.create_task(self._read(subscription))
            except* (RedisError, OSError) as errors:
                kinds = sorted({type(error).__name__ for error in errors.exceptions})
                self._log.warning("wakeups.away", errors=kinds)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _follow(self, subscription: Any) -> None:
        """Subscribe and unsubscribe as listeners come and go."""
        current: set[str] = set()
        while not self._closing:
            self._changed.clear()
            wanted = set(self._listeners)
            if new := wanted - current:
                await subscription.subscribe(*(_PREFIX + channel for channel in new))
            if gone := current - wanted:
                await subscription.unsubscribe(*(_PREFIX + channel for channel in gone))
            current = wanted
            await self._changed.wait()

    async def _read(self, subscription: Any) -> None:
        """Hand out messages. A silent connection is pinged; one that stays silent is dead.

        Raises:
            ConnectionError: The connection is dead, though nobody closed it.
        """
        pinged = False
        while not self._closing:
            message = await subscription.get_message(timeout=_SILENCE_SECONDS)
            if message is not None:
                pinged = False
                self._hand_out(message)
            elif pinged:
                raise ConnectionError("Redis did not answer a ping.")
            else:
                await subscription.ping()
                pinged = True

    def _hand_out(self, message: dict[str, Any]) -> None:
        """A confirmed subscription becomes the empty notice: some may have been missed before."""
        if message["type"] not in {"message", "subscribe"}:
            return
        channel = message["channel"].removeprefix(_PREFIX)
        notice = message["data"] if message["type"] == "message" else ""
        for notices in self._listeners.get(channel, ()):
            notices.put_nowait(notice)

    def _connection(self) -> Redis:
        if self._redis is None:
            self._redis = Redis.from_url(
                self._url,
                decode_responses=True,
                socket_connect_timeout=2,
                socket_timeout=_SILENCE_SECONDS * 2,
                socket_keepalive=True,
            )
        return self._redis
