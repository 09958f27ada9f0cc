"""A place for one worker, with a network of its own that can be broken."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from tests.rig.cluster import WorkerHandle
from tests.rig.faults.loop import LoopThread
from tests.rig.faults.proxy import FaultProxy


class Slot:
    """One worker after the other, each behind the same two proxies.

    Attributes:
        redis, database: The proxies.
        worker: Who is here now; None before the first.
    """

    def __init__(self, thread: LoopThread, redis_url: str, database_url: str, seed: int) -> None:
        self.redis = FaultProxy(thread, urlsplit(redis_url).port or 0, seed)
        self.database = FaultProxy(thread, urlsplit(database_url).port or 0, seed + 1)
        self.worker: WorkerHandle | None = None
        self._ready = False
        self.environment = {
            "MUSTER_REDIS_URL": _through(redis_url, self.redis),
            "MUSTER_DATABASE_URL": _through(database_url, self.database),
        }

    @property
    def pid(self) -> int:
        assert self.worker is not None
        return self.worker.process.pid

    @property
    def alive(self) -> bool:
        return self.worker is not None and self.worker.alive

    def take(self, worker: WorkerHandle) -> None:
        self.worker, self._ready = worker, False

    def is_ready(self) -> bool:
        """Whether the worker lives and consumes."""
        if self.worker is None or not self.worker.alive:
            return False
        self._ready = self._ready or " ready." in self.worker.log.read_text(errors="replace")
        return self._ready

    def close(self) -> None:
        self.redis.close()
        self.database.close()


def _through(url: str, proxy: FaultProxy) -> str:
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}127.0.0.1:{proxy.port}"))
