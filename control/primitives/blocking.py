"""The primitives for synchronous code: Celery tasks, scripts, threads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from control.primitives.held import HeldLock
from control.primitives.shared import PROCESS
from envelope.errors import MusterError
from envelope.ids import new_id
from envelope.ports.locks import DEFAULT_TTL, LockInfo
from worker.coordination.progress.model import Progress, ProgressEvent


def acquire_lock(
    key: str,
    ttl: float = DEFAULT_TTL,
    wait: float | None = 0.0,
    why: str = "",
    metadata: Mapping[str, str] | None = None,
) -> HeldLock:
    """Acquire a lock, which is renewed in the background until it is released or lost.

    Prefer `with_lock`, which cannot forget the release. Not reentrant: a second call for the same
    key finds it held.

    Args:
        key: What to lock; render parts that users choose with `lock_key`.
        ttl: Seconds after which it lapses if this process dies.
        wait: Seconds to wait in order of asking; 0 not to wait, None for ever.
        why: What for, for people.
        metadata: Notes for people.

    Raises:
        LockHeld: Another has it; says who, since when and why.
        QueueUnavailable: Redis is away.
        InvalidInput: An argument makes no sense.
        ConfigurationError: A setting is wrong.
    """
    shared = PROCESS.open()
    owner = new_id()
    try:
        info = shared.call(
            shared.locks.acquire(key, owner=owner, ttl=ttl, wait=wait, why=why, metadata=metadata)
        )
    except MusterError:
        raise
    except BaseException:
        # Interrupted, perhaps in the very moment of getting it: nobody would release it.
        shared.submit(shared.locks.release(key, owner))
        raise
    return HeldLock(info, ttl, shared)


def release_lock(held: HeldLock) -> bool:
    """Release a lock; False where it had been lost or released before.

    Raises:
        QueueUnavailable: Redis is away. It is released when Redis is back, or lapses.
    """
    held.ending()
    return held.ended(held.shared.call(held.shared.locks.release(held.key, held.owner)))


def check_lock(key: str) -> LockInfo | None:
    """Return who has a lock, since when, why, and until when; None where nobody has it.

    Raises:
        QueueUnavailable: Redis is away.
        InvalidInput: The key makes no sense.
    """
    shared = PROCESS.open()
    return shared.call(shared.locks.check(key))


def emit_progress(thread: str, event: Progress | Mapping[str, Any]) -> int:
    """Tell everybody who follows `thread` how far a step is; returns the event's number.

    Args:
        thread: Whose progress: a run, a user's thread, any name.
        event: `step` (text), `progress` (0 to 1) and, if you like, `data` (JSON).

    Raises:
        InvalidInput: The event does not fit.
        TooLarge: The data exceed 64 KiB.
        QueueUnavailable: Redis is away; the event may have been written or not.
    """
    shared = PROCESS.open()
    return shared.call(shared.progress.emit(thread, Progress.of(event)))


def subscribe(thread: str, after: int = 0, silence: float | None = None) -> Iterator[ProgressEvent]:
    """Follow a thread's progress: what there is, then what comes.

    Args:
        thread: Whose progress.
        after: The number of the last event already known; 0 begins with the first.
        silence: Ends after so many seconds without an event; None follows for ever.

    Raises:
        InvalidInput: An argument makes no sense.
        QueueUnavailable: Redis is away; go on later with `after`.
    """
    shared = PROCESS.open()
    return shared.iterate(shared.progress.follow(thread, after, silence))
