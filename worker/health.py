"""`python -m worker.health`: whether the worker of this host, or container, keeps its lease.

It reads one row of the journal. `celery inspect ping` would ask every worker of the cluster, by way
of Redis, and a worker is well while Redis is away. Exit code 0: it beats. 1: it does not, or the
journal is away, without which it cannot.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence

from envelope.errors import MusterError
from envelope.ports.journal_rows import WorkerRow
from worker.journal.connect import reader_engine
from worker.journal.leases import read_workers
from worker.journal.reader import Reader
from worker.journal.urls import database_url
from worker.settings import Settings

_PATIENCE_SECONDS = 3.0


async def known_workers(url: str) -> Sequence[WorkerRow]:
    """Return what the journal knows of all workers; no table is touched, let alone migrated.

    Raises:
        JournalUnavailable: The database does not answer.
    """
    engine = reader_engine(database_url(url))
    reader = Reader(engine, _PATIENCE_SECONDS)
    try:
        return await reader.read(read_workers)
    finally:
        reader.close()
        engine.dispose()


def beating(workers: Sequence[WorkerRow], hostname: str) -> Sequence[WorkerRow]:
    """Return the workers of that host whose lease has not lapsed."""
    return [worker for worker in workers if worker.hostname == hostname and worker.expires_in > 0]


def main() -> None:
    """Print one line and end with the exit code."""
    try:
        workers = asyncio.run(known_workers(Settings.load().journal_url))
    except MusterError as error:
        sys.exit(f"{error}")
    hostname = socket.gethostname()
    alive = beating(workers, hostname)
    if not alive:
        sys.exit(f"No worker of {hostname} keeps a lease; its log says why.")
    sys.stdout.write(
        "".join(f"{row.worker_id}: {row.expires_in:.1f} s of its lease left\n" for row in alive)
    )


if __name__ == "__main__":
    main()
