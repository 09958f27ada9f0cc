"""How this process talks to Redis where it coordinates: one way to connect, one way to complain."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

_CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0


def connection(
    url: str,
    *,
    connections: int = 16,
    answer_seconds: float | None = ANSWER_SECONDS,
    repeats: int = 0,
) -> Redis:
    """Return a client that belongs to the event loop that first uses it; nothing connects before.

    The client's own repetitions, with their backoffs, are off: whoever asks knows better whether a
    call may be repeated, and when.

    Args:
        url: Address of Redis.
        connections: How many at most; a call waits for a free one.
        answer_seconds: Longest time for an answer and for a free connection; None where the caller
            has a limit of its own.
        repeats: How often a call is repeated at once after a broken connection.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=answer_seconds,
        decode_responses=True,
        socket_connect_timeout=_CONNECT_SECONDS if answer_seconds else None,
        socket_timeout=answer_seconds,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), repeats),
    )
    return Redis.from_pool(pool)


class Line:
    """One connection for calls that follow each other closely; belongs to one event loop.

    A client takes a connection from its pool for each call, looks at it, counts it, sends within a
    task that has a timeout, and gives it back, which costs twice what the call itself does.

    Args:
        url: Address of Redis. Nothing connects before the first call.
        seconds: Longest time for an answer, the connection included.
    """

    def __init__(self, url: str, *, seconds: float = ANSWER_SECONDS) -> None:
        pool: Any = connection(url, answer_seconds=None).connection_pool
        self._connection = pool.make_connection()
        self._seconds = seconds
        self._turn = asyncio.Lock()

    async def ask(self, *commands: Sequence[str | int]) -> list[Any]:
        """Send commands together and return their answers, in order. Nothing is sent again.

        Raises:
            RedisError: Redis is away, or refuses a command; the others are executed.
            OSError: Redis is away, or does not answer in time.
        """
        async with self._turn, asyncio.timeout(self._seconds):
            await self._let_go_of_the_dead()
            await self._connection.send_packed_command(self._connection.pack_commands(commands))
            answers = [await self._answer() for _ in commands]
        for answer in answers:
            if isinstance(answer, ResponseError):
                raise answer
        return answers

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.disconnect()

    async def _answer(self) -> Any:
        try:
            return await self._connection.read_response()
        except ResponseError as refusal:
            return refusal

    async def _let_go_of_the_dead(self) -> None:
        """A connection on which something came while nothing was asked has ended."""
        if self._connection.is_connected and await self._connection.can_read():
            await self._connection.disconnect(nowait=True)


class Presence:
    """Says once that Redis is away, and once that it is back.

    Args:
        log: A structured logger.
        name: Names who complains: `<name>.away`, `<name>.back`.
    """

    def __init__(self, log: Any, name: str) -> None:
        self._log = log
        self._name = name
        self._away = False

    def away(self, error: BaseException) -> None:
        """Note that a call failed."""
        if not self._away:
            self._log.warning(f"{self._name}.away", error=type(error).__name__)
        self._away = True

    def back(self) -> None:
        """Note that a call was answered."""
        if self._away:
            self._log.info(f"{self._name}.back")
        self._away = False
