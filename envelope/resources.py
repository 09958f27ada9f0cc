"""What agents need of the outside (a model, a knowledge store), opened on first use."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar, cast

from envelope.errors import NotRegistered

T = TypeVar("T")


class Resources:
    """Makes each resource once per process, when it is first asked for, and closes it at the end.

    Example:
        >>> resources = Resources()
        >>> resources.provide(Clock, lambda: WallClock())
        >>> resources.get(Clock).now()
    """

    def __init__(self) -> None:
        self._makers: dict[type, Callable[[], Any]] = {}
        self._made: dict[type, Any] = {}
        self._closers = ExitStack()
        self._lock = threading.RLock()

    def provide(self, kind: type[T], maker: Callable[[], T]) -> None:
        """Say how `kind` is made. A later call replaces an earlier one that was not used yet."""
        self._makers[kind] = maker

    def get(self, kind: type[T]) -> T:
        """Return the one `kind` of this process.

        Raises:
            NotRegistered: Nothing provides it; the message lists what is provided.
        """
        with self._lock:
            if kind not in self._made:
                self._made[kind] = self._make(kind)
            return cast("T", self._made[kind])

    def close(self) -> None:
        """Close what was made, last first."""
        with self._lock:
            self._made.clear()
            self._closers.close()

    def _make(self, kind: type) -> Any:
        maker = self._makers.get(kind)
        if maker is None:
            held = ", ".join(sorted(known.__name__ for known in self._makers)) or "none"
            raise NotRegistered(f"No resource {kind.__name__!r} is provided. Provided: {held}.")
        made = maker()
        close = getattr(made, "close", None)
        if callable(close):
            self._closers.callback(close)
        return made
