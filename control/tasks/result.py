"""What became of a task, or of several."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SerializeAsAny

from envelope.errors import Terminal
from envelope.record import Record
from envelope.usage import Usage

O = TypeVar("O", bound=BaseModel)  # noqa: E741 - output, as in agents.tasks


class TaskErrorCode(StrEnum):
    """Why there is no output."""

    LOCK_ACQUISITION_FAILED = "LOCK_ACQUISITION_FAILED"
    LOCK_LOST = "LOCK_LOST"
    VALIDATION_FAILED = "VALIDATION_FAILED"
    TASK_EXECUTION_FAILED = "TASK_EXECUTION_FAILED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"
    CYCLE = "CYCLE"
    UNKNOWN_DEPENDENCY = "UNKNOWN_DEPENDENCY"


class TaskFailed(Terminal):
    """A result without data was asked for its data. `error` says why there is none."""

    code = "TASK_EXECUTION_FAILED"

    def __init__(self, error: TaskError) -> None:
        super().__init__(f"{error.code}: {error.message}")
        self.error = error


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskError(_Part):
    """Why a task has no output.

    Attributes:
        code: One of a closed set, for programs.
        message: What happened and what to do, for people.
        cause: The underlying error's own code, such as `MODEL_BUSY`.
        step: The step that failed, where there are several.
        retryable: Whether the same call may succeed later.
        retry_after: Seconds to wait before that, where they are known.
    """

    code: TaskErrorCode
    message: str
    cause: str
    step: str | None = None
    retryable: bool = False
    retry_after: float | None = None


class LockMetadata(_Part):
    """A lock that was held. Its owner token is not told: it would let others release it.

    Attributes:
        key: What was locked.
        fence: Its fencing number.
        acquired_at: When it was acquired.
        released_at: When it was released; None where it was lost before.
        held_seconds: For how long it was held.
    """

    key: str
    fence: int
    acquired_at: datetime
    released_at: datetime | None
    held_seconds: float


class ExecutionMetadata(_Part):
    """How it was executed.

    Attributes:
        operation: Names this execution in logs and on the lock.
        started_at: When it started.
        finished_at: When it ended.
        duration_seconds: How long it took, by a clock that never jumps.
        retries: Further attempts after the first.
        model: The model that answered; None where none did, or several tasks ran.
        usage: What all attempts used, failed ones too.
    """

    operation: str
    started_at: datetime
    finished_at: datetime
    duration_seconds: float
    retries: int = 0
    model: str | None = None
    usage: Usage = Usage()


class TaskResult(_Part, Generic[O]):
    """What became of one task.

    Attributes:
        success: Whether there is an output.
        data: The output.
        error: Why there is none.
        record: The output with its provenance.
        lock_metadata: The lock that was held meanwhile; None where none was.
        execution_metadata: How it was executed.
    """

    success: bool
    data: SerializeAsAny[O] | None = None
    error: TaskError | None = None
    record: Record | None = None
    lock_metadata: LockMetadata | None = None
    execution_metadata: ExecutionMetadata

    def unwrap(self) -> O:
        """Return the output.

        Raises:
            TaskFailed: There is none.
        """
        if self.data is None:
            raise TaskFailed(_given(self.error))
        return self.data

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values, for instance as a Celery task's result."""
        return self.model_dump(mode="json")


class OperationResult(_Part):
    """What became of several tasks.

    Attributes:
        success: Whether all have an output.
        results: Those that came to an end, by step, in the order of their ends.
        unfinished: The steps that were stopped or never begun.
        error: Why the operation ended early; names the step.
        lock_metadata: The lock that was held meanwhile; None where none was.
        execution_metadata: How it was executed, all steps together.
    """

    success: bool
    results: dict[str, TaskResult[Any]] = Field(default_factory=dict)
    unfinished: tuple[str, ...] = ()
    error: TaskError | None = None
    lock_metadata: LockMetadata | None = None
    execution_metadata: ExecutionMetadata

    @property
    def outputs(self) -> dict[str, BaseModel]:
        """The outputs that there are, by step."""
        return {step: done.data for step, done in self.results.items() if done.data is not None}

    @property
    def data(self) -> BaseModel | None:
        """The output of the step that ended last; None where that has none."""
        return next(reversed(self.results.values())).data if self.results else None

    def unwrap(self) -> dict[str, BaseModel]:
        """Return all outputs by step.

        Raises:
            TaskFailed: Not all steps have one.
        """
        if not self.success:
            raise TaskFailed(_given(self.error))
        return self.outputs

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return self.model_dump(mode="json")


def _given(error: TaskError | None) -> TaskError:
    if error is None:
        raise ValueError("A result without success says why in `error`.")
    return error
