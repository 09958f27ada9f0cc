"""One operation: what its tasks share while they are executed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from typing import Any

from agents.context import StepContext
from control.primitives.logger import primitives_logger
from control.tasks.request import TaskRequest
from control.tasks.result import ExecutionMetadata
from control.tasks.telling import OnEvent, Telling
from envelope.ids import new_id
from envelope.metering import Meter
from envelope.ports.budgets import BudgetLimit
from envelope.resources import Resources
from envelope.running import utc_now
from envelope.usage import Usage
from worker.coordination.budgets.in_process import InProcessBudgets
from worker.coordination.budgets.meter import RunMeter

OnDelta = Callable[[str], None]


class Tally:
    """What attempts come to: those of one task, or of all tasks of an operation.

    Args:
        total: Counts along, so that what was stopped in the middle is paid for too.
    """

    def __init__(self, total: Tally | None = None) -> None:
        self.retries = 0
        self.usage = Usage()
        self._total = total

    def retried(self, attempt: int, error: BaseException, wait: float) -> None:
        """Note that there will be a further attempt."""
        self.retries += 1
        if self._total is not None:
            self._total.retried(attempt, error, wait)

    def used(self, usage: Usage) -> None:
        """Note what an attempt used, however it ended."""
        self.usage += usage
        if self._total is not None:
            self._total.used(usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Who it is for and what it may use.

    Attributes:
        id: Names it in logs, on the lock and in cancel notices.
        resources: What agents ask for.
        telling: Where its events go.
        on_delta: Takes what models write.
        budgets: What its model calls have used so far.
        tally: What all its attempts come to.
    """

    request: TaskRequest
    resources: Resources
    telling: Telling
    on_delta: OnDelta | None
    budgets: InProcessBudgets
    tally: Tally = field(default_factory=Tally)
    id: str = field(default_factory=new_id)

    def context(self, step: str, agent: str, attempt: int, meter: Meter) -> StepContext:
        """Return what one attempt of a task sees. Nothing here may act on the outside world."""
        log: Any = primitives_logger().bind(operation=self.id, step=step, attempt=attempt)
        return StepContext(
            run_id=self.id,
            step=step,
            agent=agent,
            attempt=attempt,
            tenant=self.request.tenant,
            user=self.request.user,
            thread=self.request.thread,
            allow_delivery=False,
            trace_id=None,
            log=log,
            resources=self.resources,
            emitter=self.telling.tell,
            streamer=self.on_delta,
            meter=meter,
        )

    def meter(self, step: str) -> RunMeter:
        """Return what charges a task's model calls to the request's budget."""
        limit = BudgetLimit(
            root_id=self.id, tokens=self.request.budget_tokens, usd=self.request.budget_usd
        )
        return RunMeter(self.budgets, limit, self.id, step)


@asynccontextmanager
async def operating(
    request: TaskRequest,
    resources: Resources,
    *,
    progress: bool,
    on_event: OnEvent | None,
    on_delta: OnDelta | None,
) -> AsyncIterator[Operation]:
    """Open an operation; at its end all progress is sent."""
    budgets = InProcessBudgets(_nothing)
    async with Telling(request.key if progress else None, on_event) as telling:
        yield Operation(
            request=request,
            resources=resources,
            telling=telling,
            on_delta=on_delta,
            budgets=budgets,
        )


class Stopwatch:
    """Measures one execution."""

    def __init__(self) -> None:
        self._started_at: datetime = utc_now()
        self._started = monotonic()

    def metadata(self, operation: str, tally: Tally, model: str | None = None) -> ExecutionMetadata:
        """Describe the execution, which ends now."""
        return ExecutionMetadata(
            operation=operation,
            started_at=self._started_at,
            finished_at=utc_now(),
            duration_seconds=monotonic() - self._started,
            retries=tally.retries,
            model=model,
            usage=tally.usage,
        )


async def _nothing(_: str) -> tuple[int, float]:
    """No operation has spent anything before it began."""
    return 0, 0.0
