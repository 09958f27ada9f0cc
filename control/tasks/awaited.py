"""Task execution for coroutines, on any event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from pydantic import BaseModel

from agents.tasks import Task
from agents.tasks.definition import O
from control.tasks.errors import DependencyCycle, UnknownDependency
from control.tasks.executing import executed
from control.tasks.failing import task_error
from control.tasks.holding import LockTerms, under_lock
from control.tasks.inputs import given_data
from control.tasks.operation import OnDelta, Operation, Stopwatch, Tally, operating
from control.tasks.orchestrating import Orchestration
from control.tasks.plan import Planned, TaskStep, in_sequence, planned
from control.tasks.request import TaskRequest
from control.tasks.result import OperationResult, TaskResult
from control.tasks.runtime import RUNTIME
from control.tasks.telling import OnEvent
from envelope.errors import InvalidInput
from envelope.ids import new_id
from envelope.ports.locks import DEFAULT_TTL
from envelope.resources import Resources

Data = BaseModel | Mapping[str, Any]
Request = TaskRequest | Mapping[str, Any]

_REFUSED = (InvalidInput, DependencyCycle, UnknownDependency)
_PARALLEL = 8


class AsyncTaskExecutor:
    """Executes tasks; see `TaskExecutor`, whose methods are these, blocking."""

    def __init__(
        self,
        *,
        resources: Resources | None = None,
        progress: bool = True,
        on_event: OnEvent | None = None,
        on_delta: OnDelta | None = None,
    ) -> None:
        self._resources = resources
        self._progress = progress
        self._on_event = on_event
        self._on_delta = on_delta

    async def execute_task(
        self,
        request: Request,
        input: Data,  # noqa: A002 - the word of its users
        config: Task[Any, O],
    ) -> TaskResult[O]:
        """Execute one task; see `TaskExecutor.execute_task`."""
        try:
            asked = _checked(request, config)
        except InvalidInput as error:
            return _refused_task(error)
        async with self._operation(asked) as operation:
            return await executed(operation, config, input)

    async def execute_task_with_lock(
        self,
        request: Request,
        input: Data,  # noqa: A002 - the word of its users
        config: Task[Any, O],
        *,
        ttl: float = DEFAULT_TTL,
        wait: float | None = 0.0,
    ) -> TaskResult[O]:
        """Execute one task under the thread's lock; see `TaskExecutor.execute_task_with_lock`."""
        try:
            asked = _checked(request, config)
        except InvalidInput as error:
            return _refused_task(error)
        watch, terms = Stopwatch(), LockTerms(ttl=ttl, wait=wait)
        async with self._operation(asked) as operation:
            held = await under_lock(
                operation, config.name, terms, lambda: executed(operation, config, input)
            )
            if held.value is not None:
                return held.value.model_copy(update={"lock_metadata": held.lock})
            return TaskResult(
                success=False,
                error=held.error,
                lock_metadata=held.lock,
                execution_metadata=watch.metadata(operation.id, operation.tally),
            )

    async def execute_sequence(
        self,
        request: Request,
        input: Data,  # noqa: A002 - the word of its users
        tasks: Iterable[TaskStep | Task[Any, Any] | str],
        *,
        lock: bool = True,
        ttl: float = DEFAULT_TTL,
        wait: float | None = 0.0,
    ) -> OperationResult:
        """Execute tasks one after the other; see `TaskExecutor.execute_sequence`."""
        try:
            asked, plan, data = TaskRequest.of(request), in_sequence(tasks), given_data(input)
        except _REFUSED as error:
            return _refused(error)
        terms = LockTerms(ttl=ttl, wait=wait) if lock else None
        return await self._orchestrated(asked, plan, data, terms, limit=1)

    async def execute_orchestration(
        self,
        request: Request,
        steps: Iterable[TaskStep | Mapping[str, Any]],
        data: Data,
        *,
        lock: bool = True,
        ttl: float = DEFAULT_TTL,
        wait: float | None = 0.0,
        limit: int = _PARALLEL,
    ) -> OperationResult:
        """Execute a graph of tasks; see `TaskExecutor.execute_orchestration`."""
        try:
            asked, plan, given = TaskRequest.of(request), planned(steps), given_data(data)
            _check_limit(limit)
        except _REFUSED as error:
            return _refused(error)
        terms = LockTerms(ttl=ttl, wait=wait) if lock else None
        return await self._orchestrated(asked, plan, given, terms, limit=limit)

    async def _orchestrated(
        self,
        request: TaskRequest,
        plan: Mapping[str, Planned],
        data: Mapping[str, Any],
        terms: LockTerms | None,
        *,
        limit: int,
    ) -> OperationResult:
        async with self._operation(request) as operation:
            work = Orchestration(operation, plan, data, limit)
            if terms is None:
                await work.run()
                return work.result()
            held = await under_lock(operation, " ".join(plan), terms, work.run)
            return work.result(held.error).model_copy(update={"lock_metadata": held.lock})

    @asynccontextmanager
    async def _operation(self, request: TaskRequest) -> AsyncIterator[Operation]:
        resources = self._resources or (await RUNTIME.opened()).resources
        async with operating(
            request,
            resources,
            progress=self._progress,
            on_event=self._on_event,
            on_delta=self._on_delta,
        ) as operation:
            yield operation


def _checked(request: Request, config: object) -> TaskRequest:
    if not isinstance(config, Task):
        raise InvalidInput(
            f"config is a Task, made with agents.tasks.task(…).build(), not {config!r}."
        )
    return TaskRequest.of(request)


def _check_limit(limit: int) -> None:
    if limit < 1:
        raise InvalidInput(f"limit is how many steps are under way at once, not {limit}.")


def _refused_task(error: Exception) -> TaskResult[Any]:
    """Nothing was begun."""
    return TaskResult(
        success=False,
        error=task_error(error),
        execution_metadata=Stopwatch().metadata(new_id(), Tally()),
    )


def _refused(error: Exception) -> OperationResult:
    return OperationResult(
        success=False,
        error=task_error(error),
        execution_metadata=Stopwatch().metadata(new_id(), Tally()),
    )
