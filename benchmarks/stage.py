"""The servers that all contenders of one benchmark share, and what runs on them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Literal, Self

from benchmarks.peers.celery_worker import PlainCelery
from benchmarks.postgres import drop_database, new_database, postgres_server
from benchmarks.program import Program
from control import AsyncMuster
from control.async_manager import AsyncCampaignManager
from control.worker_process import WorkerProcess, environment_of
from worker.embedded.embedded_redis import EmbeddedRedis
from worker.settings import Settings

Database = Literal["SQLite", "Postgres"]

_FLOWS = "benchmarks.flows"
_REDIS_DATABASES = 16
DBOS_URL_VARIABLE = "BENCH_DATABASE_URL"
LIMITS_VARIABLE = "BENCH_LIMITS"


@dataclass
class Cluster:
    """A Muster of its own: journal, Redis database, home.

    Attributes:
        manager: The client's side, in this process.
        workers: Its worker processes, in the order of their start.
        pids: Their process ids.
    """

    settings: Settings
    manager: AsyncCampaignManager
    workers: list[WorkerProcess] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)

    async def start_worker(self, *flags: str) -> int:
        """Start a worker process; return its process id once it is ready."""
        journal = self.manager.backend.journal
        before = {row.pid for row in await journal.workers()}
        log = self.settings.home / f"worker-{len(self.workers)}.log"
        worker = WorkerProcess(environment_of(self.settings, os.environ), log=log)
        self.workers.append(worker)
        await worker.start("-n", f"bench-{len(self.workers)}@%h", *flags)
        await worker.until_ready(journal)
        new = {row.pid for row in await journal.workers()} - before
        self.pids += new
        return self.pids[-1]


class Stage:
    """One Redis, one Postgres where there is one, one folder.

    Attributes:
        rounds: How many rounds count.
    """

    def __init__(self, folder: Path, postgres: str | None, rounds: int) -> None:
        self.folder = folder
        self.rounds = rounds
        self._postgres = postgres
        self._numbers = count(1)
        self._logs = count(1)
        self._redis = EmbeddedRedis(folder)

    @property
    def databases(self) -> tuple[Database, ...]:
        """Where journals can live here."""
        return ("SQLite", "Postgres") if self._postgres else ("SQLite",)

    def redis_url(self) -> str:
        """Return the URL of a Redis database that nobody else has.

        Raises:
            RuntimeError: All are taken.
        """
        number = next(self._numbers)
        if number >= _REDIS_DATABASES:
            raise RuntimeError("All databases of the Redis are taken; use more than one stage.")
        return self._redis.url.rpartition("/")[0] + f"/{number}"

    @contextmanager
    def database(self, kind: Database) -> Iterator[str]:
        """Yield the URL of an empty database."""
        if kind == "SQLite" or self._postgres is None:
            place = Path(tempfile.mkdtemp(prefix="database-", dir=self.folder))
            yield f"sqlite:///{place / 'database.sqlite3'}"
            return
        url = new_database(self._postgres)
        try:
            yield url
        finally:
            drop_database(self._postgres, url)

    @contextmanager
    def settings(self, kind: Database, **more: Any) -> Iterator[Settings]:
        """Yield the settings of a cluster of its own; `more` overrides any of them."""
        with self.database(kind) as url:
            home = Path(tempfile.mkdtemp(prefix="home-", dir=self.folder))
            facts = {"redis_url": self.redis_url(), "database_url": url, "home": home}
            yield Settings.load(**facts, include=(_FLOWS,), log_level="WARNING", **more)

    @asynccontextmanager
    async def inline(self, kind: Database, *, limits: bool = True) -> AsyncIterator[Program]:
        """Start Muster's engine in a process of its own, over an empty journal."""
        with self.settings(kind) as settings:
            async with self.inline_over(settings, limits=limits) as program:
                yield program

    @asynccontextmanager
    async def inlines(self, kind: Database, count: int) -> AsyncIterator[list[Program]]:
        """Start so many of them over one journal."""
        with self.settings(kind) as settings:
            async with AsyncExitStack() as stack:
                programs = [self.inline_over(settings) for _ in range(count)]
                yield [await stack.enter_async_context(program) for program in programs]

    def inline_over(self, settings: Settings, *, limits: bool = True) -> Program:
        """Return Muster's engine in a process of its own; see `programs.muster_inline`."""
        facts = environment_of(settings, {LIMITS_VARIABLE: "on" if limits else "off"})
        log = settings.home / f"inline-{next(self._logs)}.log"
        return Program("benchmarks.programs.muster_inline", facts, log)

    @asynccontextmanager
    async def cluster(
        self, kind: Database, *flags: str, workers: int = 1, **more: Any
    ) -> AsyncIterator[Cluster]:
        """Start a Muster with real worker processes, over an empty journal."""
        with self.settings(kind, **more) as settings:
            async with self.cluster_over(settings, *flags, workers=workers) as cluster:
                yield cluster

    @asynccontextmanager
    async def cluster_over(
        self, settings: Settings, *flags: str, workers: int = 1
    ) -> AsyncIterator[Cluster]:
        """Start a Muster with real worker processes and a client in this process."""
        async with AsyncMuster(settings) as client:
            cluster = Cluster(settings, await client.manager())
            try:
                for _ in range(workers):
                    await cluster.start_worker(*flags)
                yield cluster
            finally:
                for worker in cluster.workers:
                    await worker.stop()

    @asynccontextmanager
    async def dbos(self, kind: Database) -> AsyncIterator[Program | None]:
        """Start DBOS in a process of its own; None where it is not installed."""
        if find_spec("dbos") is None:
            yield None
            return
        with self.database(kind) as url:
            log = self.folder / f"dbos-{kind}.log"
            facts = {DBOS_URL_VARIABLE: url}
            async with Program("benchmarks.programs.dbos_inline", facts, log) as program:
                yield program

    @asynccontextmanager
    async def celery(
        self, pool: str, concurrency: int, visibility_seconds: float | None = None
    ) -> AsyncIterator[PlainCelery]:
        """Start a plain Celery worker."""
        url = self.redis_url()
        async with PlainCelery(url, pool, concurrency, self.folder, visibility_seconds) as celery:
            yield celery

    def __enter__(self) -> Self:
        self._redis.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._redis.close()


@contextmanager
def open_stage(
    rounds: int, folder: Path | None = None, *, postgres: bool = True
) -> Iterator[Stage]:
    """Start the servers; their data is removed at the end.

    Args:
        rounds: How many rounds count.
        folder: Where data is kept meanwhile; None for the system's temporary folder. It should be
            on the disk that you would use: a folder in memory makes every commit look cheap.
        postgres: Whether to use one where there is one.
    """
    place = Path(tempfile.mkdtemp(prefix="muster-bench-", dir=folder))
    try:
        with ExitStack() as stack:
            url = stack.enter_context(postgres_server(folder)) if postgres else None
            yield stack.enter_context(Stage(place, url, rounds))
    finally:
        shutil.rmtree(place, ignore_errors=True)
