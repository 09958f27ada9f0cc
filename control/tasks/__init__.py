"""Typed tasks for any Celery task or plain program, no run needed: execute, lock, order, cancel.

The names here are for synchronous code; `control.tasks.aio` has the same ones for coroutines. The
tasks themselves come from `agents.tasks`. Redis is the one of the settings, or the embedded one.

>>> from agents.tasks import INTENT
>>> from control.tasks import execute_task_with_lock
>>> asked = {"user": "u1", "thread": "t1"}
>>> result = execute_task_with_lock(asked, {"text": "Draw a banner for Acme"}, INTENT, ttl=300)
>>> result.unwrap().intent
'create_image'
"""

from __future__ import annotations

from control.tasks import aio
from control.tasks.awaited import AsyncTaskExecutor
from control.tasks.default import DEFAULT
from control.tasks.executor import (
    TaskExecutor,
    cancel_operation,
    is_operation_in_progress,
    operation_in_progress,
)
from control.tasks.operations import Cancellation, CancelStatus, OperationInfo
from control.tasks.plan import TaskStep
from control.tasks.request import TaskRequest
from control.tasks.result import (
    ExecutionMetadata,
    LockMetadata,
    OperationResult,
    TaskError,
    TaskErrorCode,
    TaskFailed,
    TaskResult,
)
from control.tasks.runtime import RUNTIME
from worker.settings import Settings

execute_task = DEFAULT.execute_task
execute_task_with_lock = DEFAULT.execute_task_with_lock
execute_sequence = DEFAULT.execute_sequence
execute_orchestration = DEFAULT.execute_orchestration

__all__ = [
    "AsyncTaskExecutor",
    "CancelStatus",
    "Cancellation",
    "ExecutionMetadata",
    "LockMetadata",
    "OperationInfo",
    "OperationResult",
    "TaskError",
    "TaskErrorCode",
    "TaskExecutor",
    "TaskFailed",
    "TaskRequest",
    "TaskResult",
    "TaskStep",
    "aio",
    "cancel_operation",
    "close",
    "configure",
    "execute_orchestration",
    "execute_sequence",
    "execute_task",
    "execute_task_with_lock",
    "is_operation_in_progress",
    "operation_in_progress",
]


def configure(settings: Settings | None = None) -> None:
    """Make tasks and primitives of this process use other settings from now on.

    Not needed as a rule: they read the environment and `.env` when they are first used.

    Args:
        settings: The settings; None reads the environment and `.env` again.
    """
    RUNTIME.configure(settings)


def close() -> None:
    """Let go of everything, the primitives' part too; locks that are held lapse with their term."""
    RUNTIME.close()
