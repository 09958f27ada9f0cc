"""What the task executors of this process share: an event loop, notices, the agents' resources."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from control import primitives
from control.loop_thread import LoopThread
from control.primitives.logger import primitives_logger
from control.tasks.notices import Notices
from worker.coordination.rates.loops import LoopRates
from worker.coordination.rates.redis_rates import RedisRates
from worker.embedded import ensure_redis
from worker.resources import resources_of
from worker.settings import Settings

T = TypeVar("T")

_TELLING = 4


class Runtime:
    """Made of the settings; starts the embedded Redis where they name none.

    The loop is not that of `control.primitives`: work that blocks must not keep locks from being
    renewed.

    Attributes:
        log: A structured logger.
        notices: Cancel notices; call them, and `tell`, through `run`.
        rates: The limits of the account at the model server; every loop has connections of its own.
        resources: What agents ask for: models, records, knowledge.
    """

    def __init__(self, settings: Settings) -> None:
        self._redis = ensure_redis(settings)
        self.log: Any = primitives_logger()
        url = self._redis.url
        self.notices = Notices(url, self.log)
        self.rates = LoopRates(lambda: RedisRates(url, self.log))
        self.resources = resources_of(settings, self.rates)
        self._thread = LoopThread()
        self._loop = self._thread.call(_this_loop())
        self._telling = asyncio.Semaphore(_TELLING)

    async def tell(self, thread: str, progress: Mapping[str, Any]) -> None:
        """Emit progress, few events at a time: a burst must not wait for connections and be late.

        Raises:
            MusterError: It could not be emitted.
        """
        async with self._telling:
            await primitives.aio.emit_progress(thread, progress)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work on the loop and block until it is done; an interrupt here cancels it there."""
        return self._thread.call(work)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work on the loop and await it on the caller's own; cancellation reaches it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    def close(self) -> None:
        """Let go of everything."""
        self.resources.close()
        self._thread.call(self.rates.close())
        self._thread.call(self.notices.close())
        self._thread.close()
        self._redis.close()


class ProcessRuntime:
    """The runtime of this process, opened when it is first used. A forked child opens its own."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._settings: Settings | None = None
        self._open: Runtime | None = None
        self._inherited: list[Runtime] = []
        os.register_at_fork(after_in_child=self._begin_anew)

    def open(self) -> Runtime:
        """Return the runtime; blocks while an embedded Redis starts.

        Raises:
            ConfigurationError: A setting is wrong.
        """
        with self._guard:
            if self._open is None:
                self._open = Runtime(self._settings or Settings.load())
            return self._open

    async def opened(self) -> Runtime:
        """Return the runtime without blocking the caller's loop."""
        present = self._open
        return await asyncio.to_thread(self.open) if present is None else present

    def configure(self, settings: Settings | None) -> None:
        """Use other settings from now on, for the primitives too; None reads the environment."""
        self.close()
        self._settings = settings
        primitives.configure(settings)

    def close(self) -> None:
        """Let go of everything; the next use opens it again."""
        with self._guard:
            present, self._open = self._open, None
        if present is not None:
            present.close()
        primitives.close()

    async def leave_loop(self) -> None:
        """Let go of what the running loop opened for itself."""
        present = self._open
        if present is not None:
            await present.rates.close()

    def _begin_anew(self) -> None:
        """The parent's loop does not run here. Its connections are the parent's: never closed."""
        self._guard = threading.Lock()
        if self._open is not None:
            self._inherited.append(self._open)
        self._open = None


RUNTIME = ProcessRuntime()


async def _this_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()
