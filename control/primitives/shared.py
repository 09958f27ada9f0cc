"""What the primitives of one process share: an event loop in a thread, Redis, locks, progress.

Synchronous and asynchronous callers alike use the one loop. So locks are renewed while a caller
blocks its thread or its own loop, and a lock may be released on another loop than it was acquired.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from control.loop_thread import LoopThread
from control.primitives.logger import primitives_logger
from worker.coordination.locks.redis_locks import RedisLocks
from worker.coordination.progress.redis_progress import RedisProgress
from worker.embedded import ensure_redis
from worker.settings import Settings

T = TypeVar("T")


class Shared:
    """Connects to the Redis of the settings; starts the embedded one where they name none.

    Attributes:
        locks: The locks; call them through `call` or `run`. `lost` may be asked by any thread.
        progress: Progress; likewise.
        log: A structured logger.
    """

    def __init__(self, settings: Settings) -> None:
        self._redis = ensure_redis(settings)
        self.log: Any = primitives_logger()
        holder = f"{socket.gethostname()}:{os.getpid()}"
        self.locks = RedisLocks(self._redis.url, holder, log=self.log)
        self.progress = RedisProgress(self._redis.url)
        self._thread = LoopThread()
        self._loop = self._thread.call(_this_loop())

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start work on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work on the loop and block until it is done; an interrupt here cancels it there."""
        return self._thread.call(work)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work on the loop and await it on the caller's own; cancellation reaches it."""
        return await asyncio.wrap_future(self.submit(work))

    def iterate(self, items: AsyncIterator[T]) -> Iterator[T]:
        """Yield on this thread what comes on the loop."""
        return self._thread.iterate(items)

    def close(self) -> None:
        """Let go of Redis; locks that are held lapse with their term."""
        self._thread.call(self.locks.close())
        self._thread.call(self.progress.close())
        self._thread.close()
        self._redis.close()


class ProcessWide:
    """The shared parts of this process, opened when they are first used. A forked child opens its
    own.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._settings: Settings | None = None
        self._shared: Shared | None = None
        self._inherited: list[Shared] = []
        os.register_at_fork(after_in_child=self._begin_anew)

    def open(self) -> Shared:
        """Return the shared parts; blocks while an embedded Redis starts.

        Raises:
            ConfigurationError: A setting is wrong.
        """
        with self._guard:
            if self._shared is None:
                self._shared = Shared(self._settings or Settings.load())
            return self._shared

    async def opened(self) -> Shared:
        """Return the shared parts without blocking the caller's loop."""
        shared = self._shared
        return await asyncio.to_thread(self.open) if shared is None else shared

    def configure(self, settings: Settings | None) -> None:
        """Use other settings from now on; None reads the environment and `.env`."""
        self.close()
        self._settings = settings

    def close(self) -> None:
        """Let go of everything; the next use opens it again."""
        with self._guard:
            shared, self._shared = self._shared, None
        if shared is not None:
            shared.close()

    def _begin_anew(self) -> None:
        """The parent's loop does not run here. Its connections are the parent's: never closed."""
        self._guard = threading.Lock()
        if self._shared is not None:
            self._inherited.append(self._shared)
        self._shared = None


PROCESS = ProcessWide()


async def _this_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()
