"""Executes one task to its end, as the engine executes a step, and says what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from agents.execution import Executed, execute
from agents.tasks import Task
from agents.tasks.agent import definition_of
from agents.tasks.definition import O
from control.tasks.failing import gated_error, raised_by
from control.tasks.operation import Operation, Stopwatch, Tally
from control.tasks.result import TaskResult
from envelope.canonical import canonical_json
from envelope.envelope import MAX_BYTES
from envelope.failure import Failure
from envelope.signature import check_bytes, to_canonical


async def executed(
    operation: Operation,
    task: Task[Any, O],
    given: BaseModel | Mapping[str, Any],
    step: str | None = None,
) -> TaskResult[O]:
    """Validate the input, perform the task with its timeout and retries, validate the output.

    Args:
        operation: What the task belongs to.
        task: The task.
        given: Its input.
        step: Its name within the operation; the task's own where None.
    """
    watch, tally, step = Stopwatch(), Tally(operation.tally), step or task.name
    definition, meter = definition_of(task), operation.meter(step)
    try:
        request_json = to_canonical(given, task.input)
        check_bytes(request_json, MAX_BYTES, f"The input of task {task.name!r}")
        done = await execute(
            definition,
            request_json,
            lambda attempt: operation.context(step, task.name, attempt, meter),
            max_bytes=MAX_BYTES,
            on_retry=tally.retried,
            on_usage=tally.used,
        )
        return _succeeded(operation, task, done, watch, tally)
    except Exception as error:  # noqa: BLE001 - whatever a task raises is its result
        told = raised_by(step, error, timeout=task.timeout_seconds)
        metadata = watch.metadata(operation.id, tally)
        return TaskResult(success=False, error=told, execution_metadata=metadata)


def _succeeded(
    operation: Operation, task: Task[Any, O], done: Executed, watch: Stopwatch, tally: Tally
) -> TaskResult[O]:
    envelope = done.envelope
    record = envelope.records[0] if envelope.records else None
    model = record.provenance.model if record else None
    metadata = watch.metadata(operation.id, tally, model)
    if record is None:
        why = envelope.error or Failure(code=envelope.status.upper(), message="There is no output.")
        return TaskResult(success=False, error=gated_error(why), execution_metadata=metadata)
    return TaskResult(
        success=True,
        data=task.output.model_validate_json(canonical_json(record.data)),
        record=record,
        execution_metadata=metadata,
    )
