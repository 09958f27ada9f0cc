"""Where quarantined messages are recorded."""

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Protocol

import redis

#: The Redis list of the newest quarantined messages, newest first.
QUARANTINE_KEY = "muster:quarantine"

_NETWORK_SECONDS = 2.0


class QuarantineSink(Protocol):
    """Records that a message was put into quarantine.

    Called in the thread that consumes: it should take milliseconds. It may raise; the message is
    then still counted, logged and removed.
    """

    def record(self, queue: str, reason: str, sha256: str, size: int, excerpt: str) -> None:
        """Records one message.

        Args:
            queue: The queue (or broadcast channel) it came from.
            reason: A `Reason`, as text.
            sha256: Hash of the whole message, in hex: the same message is recognised again.
            size: Its length in bytes.
            excerpt: Its beginning, escaped to printable ASCII.
        """


@dataclass(frozen=True)
class Quarantined:
    """One recorded message; `at` is seconds since the epoch."""

    queue: str
    reason: str
    sha256: str
    size: int
    excerpt: str
    at: float


class MemorySink:
    """Keeps the newest records in this process."""

    def __init__(self, keep: int = 1000, clock: Callable[[], float] = time.time) -> None:
        self.records: deque[Quarantined] = deque(maxlen=keep)
        self._clock = clock

    def record(self, queue: str, reason: str, sha256: str, size: int, excerpt: str) -> None:
        """See QuarantineSink."""
        self.records.append(Quarantined(queue, reason, sha256, size, excerpt, self._clock()))


class RedisListSink:
    """Keeps the newest records in the Redis list `muster:quarantine`, as JSON.

    Args:
        url: Redis. The connection is made at the first record.
        keep: Records kept; older ones are dropped.
    """

    def __init__(self, url: str, keep: int = 1000, clock: Callable[[], float] = time.time) -> None:
        self._url = url
        self._keep = keep
        self._clock = clock
        self._client: redis.Redis | None = None

    def record(self, queue: str, reason: str, sha256: str, size: int, excerpt: str) -> None:
        """See QuarantineSink."""
        record = Quarantined(queue, reason, sha256, size, excerpt, self._clock())
        pipeline = self._connected().pipeline(transaction=False)
        pipeline.lpush(QUARANTINE_KEY, json.dumps(asdict(record)))
        pipeline.ltrim(QUARANTINE_KEY, 0, self._keep - 1)
        pipeline.execute()

    def records(self) -> list[Quarantined]:
        """What is kept, newest first."""
        rows = self._connected().lrange(QUARANTINE_KEY, 0, -1)
        return [Quarantined(**json.loads(row)) for row in rows]

    def close(self) -> None:
        """Closes the connection, if one was made."""
        if self._client is not None:
            self._client.close()

    def _connected(self) -> redis.Redis:
        if self._client is None:
            self._client = redis.Redis.from_url(
                self._url, socket_timeout=_NETWORK_SECONDS, socket_connect_timeout=_NETWORK_SECONDS
            )
        return self._client
