"""A user's thread seen from any process: whether an operation is under way, and its cancel."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from enum import StrEnum
from time import monotonic

from pydantic import BaseModel, ConfigDict

from control.primitives import aio
from control.primitives.shared import PROCESS
from control.tasks.holding import OPERATION_NOTE, TASK_NOTE
from control.tasks.request import operation_key
from control.tasks.runtime import RUNTIME
from envelope.ports.locks import LockInfo

_FIRST_LOOK_SECONDS = 0.02
_LONGEST_LOOK_SECONDS = 0.25
DEFAULT_REASON = "cancel_operation was called"


class OperationInfo(BaseModel):
    """An operation that is under way.

    Attributes:
        operation: Its id; None where the thread's lock is held by something else, such as a run.
        task: What it executes; what the lock is held for, where it is no task.
        holder: The process, for people.
        since: When it began.
        lock_expires_in: Seconds until its lock lapses unless it is renewed.
        metadata: The notes of its request.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    operation: str | None
    task: str
    holder: str
    since: datetime
    lock_expires_in: float
    metadata: dict[str, str]


class CancelStatus(StrEnum):
    """What came of a cancel."""

    NOT_FOUND = "not_found"
    NOT_A_TASK = "not_a_task"
    CANCELLED = "cancelled"
    FINISHED = "finished"
    REQUESTED = "requested"
    FORCED = "forced"


_SAID = {
    CancelStatus.NOT_FOUND: "Nothing is under way for this thread.",
    CancelStatus.NOT_A_TASK: (
        "The thread's lock is held by something else than a task: {task}. Nothing was done. A run "
        "is cancelled by `muster runs cancel`."
    ),
    CancelStatus.CANCELLED: "The work was stopped where it ran, and the lock is free.",
    CancelStatus.FINISHED: "The work came to its own end before the notice reached it.",
    CancelStatus.REQUESTED: (
        "The notice stands, but {holder} has not stopped yet. It stops when it sees the notice; if "
        "its process is dead, the lock lapses in {left:.0f} s. Wait longer, or use force=True."
    ),
    CancelStatus.FORCED: (
        "The lock was taken from {holder}, which had not stopped. If that process lives, it learns "
        "it within seconds, stops, and its result is LOCK_LOST."
    ),
}


class Cancellation(BaseModel):
    """What `cancel_operation` did.

    Attributes:
        status: What came of it.
        message: The same in words, and what to do.
        operation: What was under way; None where nothing was.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: CancelStatus
    message: str
    operation: OperationInfo | None = None

    @property
    def stopped(self) -> bool:
        """Whether the work does not go on: it was stopped, or had ended by itself."""
        return self.status in {CancelStatus.CANCELLED, CancelStatus.FINISHED}


async def operation_in_progress(user: str, thread: str) -> OperationInfo | None:
    """Return what is under way for a user's thread, in whatever process; None where nothing is.

    Raises:
        QueueUnavailable: Redis is away.
        InvalidInput: A part is empty.
    """
    held = await aio.check_lock(operation_key(user, thread))
    return None if held is None else _info(held)


async def is_operation_in_progress(user: str, thread: str) -> bool:
    """Return whether the lock of a user's thread is held; errors as `operation_in_progress`."""
    return await operation_in_progress(user, thread) is not None


async def cancel_operation(
    user: str, thread: str, *, reason: str = DEFAULT_REASON, wait: float = 10.0, force: bool = False
) -> Cancellation:
    """Stop what is under way for a user's thread, in whatever process it runs.

    The process that executes it cancels the work, waits for its end and lets go of the lock; its
    caller gets the error `CANCELLED` with the reason.

    Args:
        user: The user.
        thread: The user's thread.
        reason: Why, for people.
        wait: Seconds to wait for that; 0 not to wait.
        force: Take the lock from a process that has not stopped by then, because it died.

    Raises:
        QueueUnavailable: Redis is away.
        InvalidInput: A part is empty.
    """
    key = operation_key(user, thread)
    held = await aio.check_lock(key)
    if held is None:
        return Cancellation(status=CancelStatus.NOT_FOUND, message=_SAID[CancelStatus.NOT_FOUND])
    operation = held.metadata.get(OPERATION_NOTE)
    if operation is None:
        return _told(CancelStatus.NOT_A_TASK, held)
    runtime = await RUNTIME.opened()
    await runtime.run(runtime.notices.cancel(operation, reason or DEFAULT_REASON, held.expires_in))
    if await _ends(key, held.owner, wait):
        obeyed = await runtime.run(runtime.notices.was_obeyed(operation))
        return _told(CancelStatus.CANCELLED if obeyed else CancelStatus.FINISHED, held)
    if force and await _taken(key, held.owner):
        return _told(CancelStatus.FORCED, held)
    return _told(CancelStatus.REQUESTED, held)


async def _ends(key: str, owner: str, seconds: float) -> bool:
    """Wait until the lock is no longer this owner's; return whether that is so."""
    deadline, pause = monotonic() + seconds, _FIRST_LOOK_SECONDS
    while (held := await aio.check_lock(key)) is not None and held.owner == owner:
        if monotonic() >= deadline:
            return False
        await asyncio.sleep(min(pause, max(0.0, deadline - monotonic())))
        pause = min(2 * pause, _LONGEST_LOOK_SECONDS)
    return True


async def _taken(key: str, owner: str) -> bool:
    shared = await PROCESS.opened()
    return await shared.run(shared.locks.release(key, owner))


def _told(status: CancelStatus, held: LockInfo) -> Cancellation:
    info = _info(held)
    said = _SAID[status].format(task=info.task, holder=info.holder, left=info.lock_expires_in)
    return Cancellation(status=status, message=said, operation=info)


def _info(held: LockInfo) -> OperationInfo:
    return OperationInfo(
        operation=held.metadata.get(OPERATION_NOTE),
        task=held.metadata.get(TASK_NOTE) or held.why or "unknown",
        holder=held.holder,
        since=datetime.fromtimestamp(held.since, UTC),
        lock_expires_in=held.expires_in,
        metadata=dict(held.metadata),
    )
