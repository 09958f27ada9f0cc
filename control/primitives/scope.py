"""`with_lock`: a lock around a block or a function, synchronous or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import iscoroutinefunction
from types import TracebackType
from typing import Any, TypeVar, cast

from control.primitives import awaited, blocking
from control.primitives.guard import BodyGuard
from control.primitives.held import HeldLock
from envelope.errors import QueueUnavailable
from envelope.ports.locks import DEFAULT_TTL

F = TypeVar("F", bound=Callable[..., Any])


def with_lock(
    key: str,
    ttl: float = DEFAULT_TTL,
    wait: float | None = 0.0,
    why: str = "",
    metadata: Mapping[str, str] | None = None,
) -> LockScope:
    """Hold a lock for a block (`with`, `async with`) or for each call of a function (`@`).

    A block that loses the lock never ends as if it had succeeded: an asynchronous one is cancelled
    at once, a synchronous one learns it from `ensure_held` or at its end. Both raise LockLost.

    Args:
        key: What to lock; render parts that users choose with `lock_key`.
        ttl: Seconds after which it lapses if this process dies.
        wait: Seconds to wait in order of asking; 0 not to wait, None for ever.
        why: What for, for people.
        metadata: Notes for people.

    Raises:
        LockHeld: Another has it and the wait is over; on entering.
        QueueUnavailable: Redis is away; on entering.
        InvalidInput: An argument makes no sense; on entering.
        LockLost: It was lost while the block ran; on leaving.

    Example:
        >>> with with_lock("invoices:2025-05", wait=30, why="monthly run") as held:
        ...     write_invoices(fence=held.fence)
    """
    return LockScope({"key": key, "ttl": ttl, "wait": wait, "why": why, "metadata": metadata})


class LockScope:
    """What `with_lock` returns. One block at a time; as a decorator any number of calls."""

    def __init__(self, terms: Mapping[str, Any]) -> None:
        self._terms = terms
        self._held: HeldLock | None = None
        self._guard: BodyGuard | None = None

    def __enter__(self) -> HeldLock:
        self._check_free()
        self._held = blocking.acquire_lock(**self._terms)
        return self._held

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        held, self._held = self._taken(), None
        try:
            released = blocking.release_lock(held)
        except QueueUnavailable as away:
            released = _unreleased(held, away)
        if kind is None and (held.lost or not released):
            raise held.loss()

    async def __aenter__(self) -> HeldLock:
        self._check_free()
        self._guard = BodyGuard()
        self._held = await awaited.acquire_lock(**self._terms)
        self._guard.watch(self._held)
        return self._held

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        held, self._held = self._taken(), None
        was_ours = self._guard is not None and self._guard.leave(kind)
        try:
            released = await awaited.release_lock(held)
        except QueueUnavailable as away:
            released = _unreleased(held, away)
        if was_ours or (kind is None and (held.lost or not released)):
            raise held.loss() from error

    def __call__(self, function: F) -> F:
        """Hold the lock during each call of a function."""
        if iscoroutinefunction(function):

            @wraps(function)
            async def locked(*args: Any, **kwargs: Any) -> Any:
                async with LockScope(self._terms):
                    return await function(*args, **kwargs)

        else:

            @wraps(function)
            def locked(*args: Any, **kwargs: Any) -> Any:
                with LockScope(self._terms):
                    return function(*args, **kwargs)

        return cast("F", locked)

    def _check_free(self) -> None:
        if self._held is not None:
            raise RuntimeError("This with_lock(…) is in use. Call with_lock for each block.")

    def _taken(self) -> HeldLock:
        if self._held is None:
            raise RuntimeError("This with_lock(…) was not entered.")
        return self._held


def _unreleased(held: HeldLock, away: QueueUnavailable) -> bool:
    """The work is done and the lock was held to its end: Redis being away by then costs nothing."""
    held.shared.log.warning("locks.release_delayed", key=held.key, error=str(away))
    return True
