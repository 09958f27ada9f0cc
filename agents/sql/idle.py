"""Idle connections of one store in one process, handed to one thread at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """A connection, as far as it is looked at here."""

    def close(self) -> object:
        """Close it."""


C = TypeVar("C", bound=Closable)


class IdleConnections(Generic[C]):
    """Opens a connection where none is idle, and keeps it for the next thread.

    A connection over which an error passed is closed instead of kept. A process that was forked
    forgets its parent's connections: two processes on one connection corrupt it.

    Args:
        open_one: Opens a connection.
    """

    def __init__(self, open_one: Callable[[], C]) -> None:
        self._open_one = open_one
        self._lock = threading.Lock()
        self._idle: list[C] = []
        self._closed = False
        self._process = os.getpid()

    @contextmanager
    def borrow(self) -> Iterator[C]:
        """Lend a connection for the time of a `with` block."""
        connection = self._take() or self._open_one()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)

    def close(self) -> None:
        """Close what is idle now and whatever is given back later."""
        with self._lock:
            self._closed = True
        self.drop_idle()

    def drop_idle(self) -> None:
        """Close what is idle now."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> C | None:
        with self._lock:
            if self._process != os.getpid():
                self._process, self._idle = os.getpid(), []
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: C) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()
