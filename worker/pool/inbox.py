"""Carries what happens on other threads back to Celery's own thread."""

import logging
import threading
from collections import deque
from collections.abc import Callable

from kombu.asynchronous import get_event_loop

logger = logging.getLogger(__name__)

Notice = Callable[[], None]


class Inbox:
    """Notices from the loop and from task threads, each run in the thread of Celery's hub.

    Celery's consumer, requests and events are then touched by one thread only, as with prefork.
    Without a hub (a transport that cannot be polled) a notice runs where it arises, one at a time.
    """

    def __init__(self) -> None:
        self._notices: deque[Notice] = deque()
        self._lock = threading.RLock()
        self._hub = get_event_loop()

    def put(self, notice: Notice) -> None:
        """Hands a notice over. Any thread."""
        self._notices.append(notice)
        if self._hub is None:
            self.drain()
        else:
            self._hub.call_soon(self.drain)

    def drain(self) -> None:
        """Runs what has arrived. A notice that fails is logged: the hub would die of it."""
        with self._lock:
            while self._notices:
                notice = self._notices.popleft()
                try:
                    notice()
                except Exception:
                    logger.exception("A callback of the pool failed")

    def tick(self) -> None:
        """Keeps the hub's timers (heartbeats) going while the hub itself no longer runs."""
        if self._hub is not None:
            self._hub.fire_timers()
        self.drain()
