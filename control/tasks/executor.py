"""Task execution for synchronous code: Celery tasks, scripts, threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from agents.tasks import Task
from agents.tasks.definition import O
from control.tasks import operations
from control.tasks.awaited import AsyncTaskExecutor, Data, Request
from control.tasks.operation import OnDelta
from control.tasks.operations import Cancellation, OperationInfo
from control.tasks.plan import TaskStep
from control.tasks.result import OperationResult, TaskResult
from control.tasks.runtime import RUNTIME
from control.tasks.telling import OnEvent
from envelope.ports.locks import DEFAULT_TTL
from envelope.resources import Resources


class TaskExecutor:
    """Executes tasks for any program: no run, no flow and no worker of Muster is needed.

    What goes wrong with a task is in its result, not raised. Interrupts and cancellations of the
    caller are raised, after the work was stopped and the lock released. `aio` has the same methods
    for coroutines.

    Args:
        resources: What the tasks may ask for; that of the settings where None: the OpenAI model or
            a compatible one, the offline model without a key.
        progress: Whether `subscribe(request.key)` of `control.primitives` sees their progress.
        on_event: Told each event's name and data, on the event loop of the work.
        on_delta: Told what models write, piece by piece.

    Example:
        >>> executor = TaskExecutor(on_delta=print)
        >>> executor.execute_task({"user": "u1", "thread": "t1"}, {"text": "Draw a cat"}, INTENT)
    """

    def __init__(
        self,
        *,
        resources: Resources | None = None,
        progress: bool = True,
        on_event: OnEvent | None = None,
        on_delta: OnDelta | None = None,
    ) -> None:
        self.aio = AsyncTaskExecutor(
            resources=resources, progress=progress, on_event=on_event, on_delta=on_delta
        )

    def execute_task(
        self,
        request: Request,
        input: Data,  # noqa: A002 - the word of its users
        config: Task[Any, O],
    ) -> TaskResult[O]:
        """Execute a task, whatever else runs for the same thread.

        Args:
            request: For whom; its budget covers all attempts.
            input: What the task takes.
            config: The task.
        """
        return RUNTIME.open().call(self.aio.execute_task(request, input, config))

    def execute_task_with_lock(
        self,
        request: Request,
        input: Data,  # noqa: A002 - the word of its users
        config: Task[Any, O],
        *,
        ttl: float = DEFAULT_TTL,
        wait: float | None = 0.0,
    ) -> TaskResult[O]:
        """Execute a task while holding the lock `run:{user}:{thread}` of the cluster.

        The lock is renewed meanwhile. Where it is lost, the work is stopped and the result is
        `LOCK_LOST`, never a success.

        Args:
            request: For whom; its metadata stands on the lock.
            input: What the task takes.
            config: The task.
            ttl: Seconds after which the lock lapses if this process dies.
            wait: Seconds to wait for it in order of asking; 0 not to wait, None for ever.
        """
        done = self.aio.execute_task_with_lock(request, input, config, ttl=ttl, wait=wait)
        return RUNTIME.open().call(done)

    def execute_sequence(
        self,
        request: Request,
        input: Data,  # noqa: A002 - the word of its users
        tasks: Iterable[TaskStep | Task[Any, Any] | str],
        *,
        lock: bool = True,
        ttl: float = DEFAULT_TTL,
        wait: float | None = 0.0,
    ) -> OperationResult:
        """Execute tasks one after the other; the first that fails is the last.

        Each gets the fields of its input from the outputs before it, the latest first, and else
        from `input`.

        Args:
            request: For whom; its budget covers all tasks.
            input: What the tasks take.
            tasks: Tasks, names of predefined ones, or `TaskStep`s with ids or `prepare`.
            lock: Whether to hold the thread's lock; without it `cancel_operation` finds nothing.
            ttl: As for `execute_task_with_lock`.
            wait: As for `execute_task_with_lock`.
        """
        done = self.aio.execute_sequence(request, input, tasks, lock=lock, ttl=ttl, wait=wait)
        return RUNTIME.open().call(done)

    def execute_orchestration(
        self,
        request: Request,
        steps: Iterable[TaskStep | Mapping[str, Any]],
        data: Data,
        *,
        lock: bool = True,
        ttl: float = DEFAULT_TTL,
        wait: float | None = 0.0,
        limit: int = 8,
    ) -> OperationResult:
        """Execute tasks that depend on one another, independent ones at once.

        The steps are checked before any of them runs: `CYCLE`, `UNKNOWN_DEPENDENCY`. The first that
        fails stops the others. A field of a step's input is the whole output of the dependency of
        that name; else that field of the last dependency that has it; else that of `data`.

        Args:
            request: For whom; its budget covers all tasks.
            steps: `TaskStep`s, or mappings with `step_id`, `task` and `dependencies`.
            data: What the tasks take.
            lock: As for `execute_sequence`.
            ttl: As for `execute_task_with_lock`.
            wait: As for `execute_task_with_lock`.
            limit: How many steps are under way at once.
        """
        done = self.aio.execute_orchestration(
            request, steps, data, lock=lock, ttl=ttl, wait=wait, limit=limit
        )
        return RUNTIME.open().call(done)


def operation_in_progress(user: str, thread: str) -> OperationInfo | None:
    """Return what is under way for a user's thread, in whatever process; None where nothing is.

    Raises:
        QueueUnavailable: Redis is away.
        InvalidInput: A part is empty.
    """
    return RUNTIME.open().call(operations.operation_in_progress(user, thread))


def is_operation_in_progress(user: str, thread: str) -> bool:
    """Return whether the lock of a user's thread is held; errors as `operation_in_progress`."""
    return RUNTIME.open().call(operations.is_operation_in_progress(user, thread))


def cancel_operation(
    user: str,
    thread: str,
    *,
    reason: str = operations.DEFAULT_REASON,
    wait: float = 10.0,
    force: bool = False,
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
    work = operations.cancel_operation(user, thread, reason=reason, wait=wait, force=force)
    return RUNTIME.open().call(work)
