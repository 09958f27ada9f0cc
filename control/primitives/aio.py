"""The primitives for coroutines: the names of `control.primitives`, awaited.

>>> from control.primitives import aio
>>> async with aio.with_lock("invoices:2025-05", wait=30) as held:
...     await aio.emit_progress("invoices", {"step": "write", "progress": 0})
"""

from control.primitives.awaited import (
    acquire_lock,
    check_lock,
    emit_progress,
    release_lock,
    subscribe,
)
from control.primitives.retrying import with_retries_async as with_retries
from control.primitives.scope import with_lock

__all__ = [
    "acquire_lock",
    "check_lock",
    "emit_progress",
    "release_lock",
    "subscribe",
    "with_lock",
    "with_retries",
]
