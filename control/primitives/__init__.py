"""Locks, progress and retries for any Celery task or plain program, no run needed.

The names here are for synchronous code; `control.primitives.aio` has the same ones for coroutines.
`with_lock` is one for both. Redis is the one of the settings, or the embedded one.

>>> from control.primitives import emit_progress, with_lock
>>> with with_lock("invoices:2025-05", wait=30) as held:
...     emit_progress("invoices", {"step": "write", "progress": 0})
"""

from __future__ import annotations

from control.primitives import aio
from control.primitives.blocking import (
    acquire_lock,
    check_lock,
    emit_progress,
    release_lock,
    subscribe,
)
from control.primitives.held import HeldLock
from control.primitives.retrying import with_retries
from control.primitives.scope import with_lock
from control.primitives.shared import PROCESS
from envelope.errors import LockHeld, LockLost
from envelope.ports.locks import LockInfo, lock_key
from worker.coordination.progress.model import Progress, ProgressEvent
from worker.settings import Settings

__all__ = [
    "HeldLock",
    "LockHeld",
    "LockInfo",
    "LockLost",
    "Progress",
    "ProgressEvent",
    "acquire_lock",
    "aio",
    "check_lock",
    "close",
    "configure",
    "emit_progress",
    "lock_key",
    "release_lock",
    "subscribe",
    "with_lock",
    "with_retries",
]


def configure(settings: Settings | None = None) -> None:
    """Make all primitives of this process use other settings from now on.

    Not needed as a rule: they read the environment and `.env` when they are first used.

    Args:
        settings: The settings; None reads the environment and `.env` again.
    """
    PROCESS.configure(settings)


def close() -> None:
    """Let go of Redis; locks that are held lapse with their term. The next use connects again."""
    PROCESS.close()
