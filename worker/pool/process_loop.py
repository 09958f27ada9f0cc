"""The one event loop on which this process runs task bodies, under every pool."""

import asyncio
import atexit
import logging
import os
import threading

logger = logging.getLogger(__name__)

_STOP_SECONDS = 1.0


class LoopThread:
    """An event loop that runs in a daemon thread of its own until the process ends."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="muster-loop", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops the loop and waits a moment for its thread. Tasks still running are abandoned."""
        self._closing = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        while not self._closing:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt) as request:
                # asyncio lets these two escape from a background task; they are
                # one task's affair and must not end the loop of all the others.
                logger.exception("A background task raised %s", type(request).__name__)


class _Process:
    """Holds the loop of this process. A forked child starts without one and makes its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.thread: LoopThread | None = None

    def forget(self) -> None:
        """In a forked child: the parent's thread does not exist here, its lock may be held."""
        self.__init__()  # type: ignore[misc]  # plain re-initialisation, no subclass exists


_process = _Process()
os.register_at_fork(after_in_child=_process.forget)


def process_loop() -> asyncio.AbstractEventLoop:
    """The loop on which this process runs task bodies; started at the first call.

    It is the same loop under the asyncio pool and, as the bridge of `async def` bodies, under
    prefork (one in each child), threads and solo. It runs in a daemon thread: hand work to it
    with `asyncio.run_coroutine_threadsafe` or `call_soon_threadsafe`.
    """
    with _process.lock:
        if _process.thread is None:
            _process.thread = LoopThread()
            atexit.register(_process.thread.stop)
        return _process.thread.loop
