"""How this process talks to Redis where it coordinates: one way to connect, one way to complain."""

from __future__ import annotations

from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

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
