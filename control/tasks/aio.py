"""Task execution for coroutines: the names of `control.tasks`, awaited.

`close` lets go of what the running event loop opened for itself, before the loop ends.

>>> from control.tasks import INTENT, aio
>>> await aio.execute_task({"user": "u1", "thread": "t1"}, {"text": "Draw a cat"}, INTENT)
"""

from control.tasks.default import DEFAULT
from control.tasks.operations import (
    cancel_operation,
    is_operation_in_progress,
    operation_in_progress,
)
from control.tasks.runtime import RUNTIME

execute_task = DEFAULT.aio.execute_task
execute_task_with_lock = DEFAULT.aio.execute_task_with_lock
execute_sequence = DEFAULT.aio.execute_sequence
execute_orchestration = DEFAULT.aio.execute_orchestration
close = RUNTIME.leave_loop

__all__ = [
    "cancel_operation",
    "close",
    "execute_orchestration",
    "execute_sequence",
    "execute_task",
    "execute_task_with_lock",
    "is_operation_in_progress",
    "operation_in_progress",
]
