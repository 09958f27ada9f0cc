"""Holds the lock of a user's thread during an operation, and stops the work when asked to."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from control.primitives import HeldLock, with_lock
from control.tasks.failing import not_acquired, task_error
from control.tasks.operation import Operation
from control.tasks.result import LockMetadata, TaskError
from control.tasks.runtime import RUNTIME
from envelope.errors import Cancelled, InvalidInput, LockHeld, LockLost, Unavailable
from envelope.running import utc_now

R = TypeVar("R")

OPERATION_NOTE = "operation"
TASK_NOTE = "task"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockTerms:
    """How an operation holds its lock.

    Attributes:
        ttl: Seconds after which it lapses if this process dies.
        wait: Seconds to wait for it in order of asking; None for ever.
    """

    ttl: float
    wait: float | None


@dataclass(frozen=True, slots=True)
class Held(Generic[R]):
    """What came of work under a lock: a value, or why there is none."""

    value: R | None = None
    error: TaskError | None = None
    lock: LockMetadata | None = None


async def under_lock(
    operation: Operation, what: str, terms: LockTerms, work: Callable[[], Awaitable[R]]
) -> Held[R]:
    """Do the work while the lock is held.

    It is stopped when somebody cancels the operation, and when the lock is lost: then there is no
    value, even if it was made in the last moment.
    """
    notes = {**operation.request.metadata, **_notes(operation, what)}
    hold = _Hold()
    try:
        async with with_lock(
            operation.request.key,
            ttl=terms.ttl,
            wait=terms.wait,
            why=f"task {what}",
            metadata=notes,
        ) as held:
            hold.acquired(held)
            value = await _unless_cancelled(operation.id, work())
        return Held(value=value, lock=hold.metadata())
    except (LockHeld, LockLost, Cancelled, InvalidInput) as error:
        return Held(error=task_error(error), lock=hold.metadata())
    except Unavailable as error:
        return Held(error=not_acquired(error))


class _Hold:
    """Notes when the lock was held."""

    def __init__(self) -> None:
        self._lock: HeldLock | None = None
        self._at: datetime | None = None

    def acquired(self, lock: HeldLock) -> None:
        self._lock, self._at = lock, utc_now()

    def metadata(self) -> LockMetadata | None:
        """Describe the lock; None where it was never held."""
        if self._lock is None or self._at is None:
            return None
        return LockMetadata(
            key=self._lock.key,
            fence=self._lock.fence,
            acquired_at=self._at,
            released_at=utc_now() if self._lock.released else None,
            held_seconds=self._lock.held_seconds,
        )


async def _unless_cancelled(operation: str, work: Awaitable[R]) -> R:
    """Await the work; somebody else's cancel notice cancels it here.

    Raises:
        Cancelled: It was cancelled, and has ended.
    """
    runtime = await RUNTIME.opened()
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(runtime.run(runtime.notices.until_cancelled(operation)))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        reason = watching.result()
        await _ended(working)
        await runtime.run(runtime.notices.obeyed(operation))
        raise Cancelled(reason)
    finally:
        await _ended(working)
        await _ended(watching)


async def _ended(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _notes(operation: Operation, what: str) -> dict[str, str]:
    return {
        OPERATION_NOTE: operation.id,
        TASK_NOTE: what,
        "process": f"{socket.gethostname()}:{os.getpid()}",
    }
