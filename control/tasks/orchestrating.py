"""Executes planned steps: each as soon as its dependencies have their outputs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from control.tasks.executing import executed
from control.tasks.failing import raised_by
from control.tasks.inputs import input_of
from control.tasks.operation import Operation, Stopwatch, Tally
from control.tasks.plan import Planned, order_of
from control.tasks.result import OperationResult, TaskError, TaskResult


@dataclass(slots=True)
class Orchestration:
    """One execution of a plan. What it has done is readable at any time, also after a cancel.

    Args:
        operation: What its tasks share.
        plan: The steps by id.
        data: The operation's data.
        limit: How many steps are under way at once.
    """

    operation: Operation
    plan: Mapping[str, Planned]
    data: Mapping[str, Any]
    limit: int
    results: dict[str, TaskResult[Any]] = field(default_factory=dict)
    _watch: Stopwatch = field(default_factory=Stopwatch)

    async def run(self) -> None:
        """Execute the steps. The first that fails stops the others."""
        order = order_of(self.plan)
        order.prepare()
        ready = list(order.get_ready())
        running: dict[asyncio.Task[TaskResult[Any]], str] = {}
        try:
            while (ready or running) and self._failed() is None:
                while ready and len(running) < self.limit:
                    step = ready.pop(0)
                    running[asyncio.create_task(self._step(self.plan[step]))] = step
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    step = running.pop(task)
                    self.results[step] = task.result()
                    order.done(step)
                ready += order.get_ready()
        finally:
            await _stopped(running)

    def result(self, error: TaskError | None = None) -> OperationResult:
        """Say what became of it.

        Args:
            error: Why it ended early, where that was not a step's failure.
        """
        failed = self._failed()
        error = error or (failed.error if failed else None)
        return OperationResult(
            success=error is None,
            results=self.results,
            unfinished=tuple(step for step in self.plan if step not in self.results),
            error=error,
            execution_metadata=self._watch.metadata(self.operation.id, self.operation.tally),
        )

    async def _step(self, step: Planned) -> TaskResult[Any]:
        outputs = {name: self.results[name].unwrap() for name in step.dependencies}
        try:
            given = input_of(step, self.data, outputs)
        except Exception as error:  # noqa: BLE001 - `prepare` is the user's; what it raises is the result
            told = raised_by(step.step_id, error)
            metadata = Stopwatch().metadata(self.operation.id, Tally())
            return TaskResult(success=False, error=told, execution_metadata=metadata)
        return await executed(self.operation, step.task, given, step.step_id)

    def _failed(self) -> TaskResult[Any] | None:
        return next((done for done in self.results.values() if not done.success), None)


async def _stopped(running: Mapping[asyncio.Task[TaskResult[Any]], str]) -> None:
    """Cancel what is under way, and wait until it has ended."""
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
