"""Carries what happens on other threads back to Celery's own thread."""

import contextlib
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

Notice = Callable[[], None]

_ENOUGH = 4096


class Inbox:
    """Notices from the loop and from task threads, each run in the thread of Celery's hub.

    Celery's consumer, requests and events are then touched by one thread only, as with prefork.
    Without a hub (a transport that cannot be polled) a notice runs where it arises, one at a time.

    The hub is woken through a socket that it reads, not by `hub.call_soon`: what a callback of
    that kind queues itself, such as an acknowledgement, waits until the hub's next poll ends,
    which can take a second.

    Args:
        has_hub: Whether Celery runs its event loop.
    """

    def __init__(self, *, has_hub: bool) -> None:
        self._notices: deque[Notice] = deque()
        self._lock = threading.RLock()
        self._hub: Any = None
        self._has_hub = has_hub
        self._woken = False
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def attach(self, hub: Any) -> None:
        """Has the hub read this inbox. Repeated after each reconnection, which resets the hub."""
        self._hub = hub
        hub.add_reader(self._receiver, self.drain)

    def put(self, notice: Notice) -> None:
        """Hands a notice over. Any thread."""
        self._notices.append(notice)
        if not self._has_hub:
            self.drain()
        elif not self._woken:
            self._woken = True
            self._sender.send(b"\0")

    def drain(self) -> None:
        """Runs what has arrived. A notice that fails is logged: the hub would die of it."""
        self._sleep_again()
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

    def _sleep_again(self) -> None:
        # In this order. A notice put in between finds us awake still and is drained now. With the
        # flag cleared first, its byte would be taken here, and no later notice would wake us.
        with contextlib.suppress(BlockingIOError):
            self._receiver.recv(_ENOUGH)
        self._woken = False
