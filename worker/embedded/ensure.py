"""The Redis that the settings name, or else the embedded one."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from worker.embedded.embedded_redis import EmbeddedRedis
from worker.settings import Settings


@dataclass(frozen=True, slots=True, repr=False)
class RedisServer:
    """Where Redis is. `close()` ends the use of an embedded one and leaves a configured one alone.

    Attributes:
        url: The URL for clients, password included.
        embedded: The embedded server; None when the settings name a Redis.
    """

    url: str
    embedded: EmbeddedRedis | None = None

    def close(self) -> None:
        """Ends the use. May be called twice."""
        if self.embedded is not None:
            self.embedded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def ensure_redis(settings: Settings) -> RedisServer:
    """The configured Redis, which is not contacted, or the embedded one, which then answers.

    Blocks while an embedded server starts, for about 0.1 s.

    Raises:
        RedisBinaryMissing: No URL is set and no server program was found.
        EmbeddedRedisFailed: The embedded server does not start or does not answer.
        HomeNotWritable: The home folder cannot be written.
    """
    if settings.redis_url is not None:
        return RedisServer(settings.redis_url)
    embedded = EmbeddedRedis(settings.home).start()
    return RedisServer(embedded.url, embedded)
