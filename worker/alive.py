"""Which worker processes live; the journal alone judges that."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Collection

from envelope.ports.journal import Journal


def new_worker_id() -> str:
    """Name this process for people (host, pid), and apart from any that had the pid before."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class Alive:
    """The living, as `worker_id` sees them.

    Args:
        journal: Knows everybody's lease.
        worker_id: This process.
    """

    def __init__(self, journal: Journal, worker_id: str) -> None:
        self._journal = journal
        self._worker_id = worker_id

    async def workers(self) -> Collection[str]:
        """Return the ids of the workers whose lease has not lapsed."""
        known = await self._journal.workers()
        return {worker.worker_id for worker in known if worker.expires_in > 0}

    async def nobody_else(self) -> bool:
        """Return whether no other worker lives."""
        return not set(await self.workers()) - {self._worker_id}
