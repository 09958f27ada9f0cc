"""From exceptions to the closed set of codes that results carry."""

from __future__ import annotations

import math

from agents.llm.errors import InvalidOutput, ModelTimeout
from control.tasks.errors import DependencyCycle, UnknownDependency
from control.tasks.result import TaskError, TaskErrorCode
from envelope.errors import (
    BudgetExceeded,
    Cancelled,
    InvalidInput,
    LockHeld,
    LockLost,
    MusterError,
    Retryable,
    TooLarge,
    Unavailable,
)
from envelope.failure import Failure

_CODES: tuple[tuple[tuple[type[BaseException], ...], TaskErrorCode], ...] = (
    ((LockHeld,), TaskErrorCode.LOCK_ACQUISITION_FAILED),
    ((LockLost,), TaskErrorCode.LOCK_LOST),
    ((InvalidInput, InvalidOutput, TooLarge), TaskErrorCode.VALIDATION_FAILED),
    ((BudgetExceeded,), TaskErrorCode.BUDGET_EXCEEDED),
    ((TimeoutError, ModelTimeout), TaskErrorCode.TIMEOUT),
    ((Cancelled,), TaskErrorCode.CANCELLED),
    ((DependencyCycle,), TaskErrorCode.CYCLE),
    ((UnknownDependency,), TaskErrorCode.UNKNOWN_DEPENDENCY),
)


_OF_TASKS = frozenset(
    {TaskErrorCode.VALIDATION_FAILED, TaskErrorCode.BUDGET_EXCEEDED, TaskErrorCode.TIMEOUT}
)
"""What a task itself can end with; other codes are about the operation around it."""


def task_error(error: BaseException) -> TaskError:
    """Describe why an operation did not begin, or ended early."""
    failure = Failure.of(error)
    return TaskError(
        code=_code(error),
        message=failure.message,
        cause=failure.code if isinstance(error, MusterError) else type(error).__name__,
        retryable=isinstance(error, Retryable | Unavailable | TimeoutError | ConnectionError),
        retry_after=_seconds(getattr(error, "retry_after", None)),
    )


def raised_by(step: str, error: BaseException, *, timeout: float | None = None) -> TaskError:
    """Describe what a task raised: a lock that one of its tools did not get is not the thread's.

    Args:
        step: The task's name within the operation.
        error: What it raised.
        timeout: The task's own limit of seconds, to be named where it was hit.
    """
    told = task_error(error)
    own = told.code if told.code in _OF_TASKS else TaskErrorCode.TASK_EXECUTION_FAILED
    return told.model_copy(
        update={"code": own, "step": step, "message": _message(error, told.message, timeout)}
    )


def gated_error(failure: Failure) -> TaskError:
    """Describe why an agent's envelope carries no output."""
    return TaskError(
        code=TaskErrorCode.TASK_EXECUTION_FAILED, message=failure.message, cause=failure.code
    )


def not_acquired(error: Unavailable) -> TaskError:
    """Describe that nobody could be asked for the lock."""
    told = task_error(error)
    return told.model_copy(update={"code": TaskErrorCode.LOCK_ACQUISITION_FAILED})


def _code(error: BaseException) -> TaskErrorCode:
    for kinds, code in _CODES:
        if isinstance(error, kinds):
            return code
    return TaskErrorCode.TASK_EXECUTION_FAILED


def _message(error: BaseException, message: str, timeout: float | None) -> str:
    """`asyncio.timeout` raises an error without a word."""
    if isinstance(error, TimeoutError) and not str(error) and timeout is not None:
        return f"An attempt took longer than the task's timeout of {timeout:g} s."
    return message


def _seconds(asked: object) -> float | None:
    sensible = isinstance(asked, int | float) and math.isfinite(asked) and asked >= 0
    return float(asked) if sensible else None  # type: ignore[arg-type] # a number, just tested
