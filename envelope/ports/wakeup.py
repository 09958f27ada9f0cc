"""Wake-ups: lossy, fast notices between processes. Whoever waits also looks by itself, slowly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol


class Wakeups(Protocol):
    """Short notices to a channel: a worker id (its steps settled, its runs cancelled) or a run id
    (new events).
    """

    def notify(self, channel: str, notice: str) -> None:
        """Send a notice with the next batch; never waits, never raises, may be lost."""

    def listen(self, channel: str) -> AsyncIterator[str]:
        """Yield notices until closed. A broken connection is renewed; `""` is yielded after every
        (re)connection, meaning that notices may have been missed.
        """

    async def close(self) -> None:
        """Send what is pending and let go of connections."""
