"""The Celery tasks: `run.<flow>` executes a run, `agent.<name>` a queued step. Thin on purpose.

What a message says beyond the names, such as the trace id, is for logs; the journal knows the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from agents.registry import AGENTS
from envelope.ports.journal_rows import RunState, StepState
from orchestrators.registry import FLOWS
from worker.app import MusterCelery, register
from worker.process import WorkerProcess

Body = Callable[..., Coroutine[Any, Any, None]]


class Unsuccessful(Exception):
    """The run or step came to a bad end, which the journal has: nothing is left to do.

    It is raised only for those who look at Celery, so that a failed run is a failed task in Flower
    and in Celery's counters. The message is acknowledged like any other.
    """


def register_tasks(app: MusterCelery, process: WorkerProcess) -> None:
    """Make every registered flow and agent a task with its queue."""
    for flow in FLOWS.names():
        register(app, f"run.{flow}", _run_body(process), weightless=True, throws=(Unsuccessful,))
    for agent in AGENTS.names():
        register(app, f"agent.{agent}", _step_body(process), throws=(Unsuccessful,))


def _run_body(process: WorkerProcess) -> Body:
    async def run(run_id: str, **_told: Any) -> None:
        """Execute the run of that id; without effect where it is owned, ended or unknown."""
        service = await process.service()
        async with process.admission.place():
            state = await service.engine.execute(run_id)
        if state in {RunState.FAILED, RunState.DEAD}:
            raise Unsuccessful(f"Run {run_id} is {state}; `muster runs show {run_id}` says why.")

    return run


def _step_body(process: WorkerProcess) -> Body:
    async def step(run_id: str, step: str, **_told: Any) -> None:
        """Execute that queued step; without effect where it is taken, settled or unknown."""
        service = await process.service()
        if await service.engine.steps.execute(run_id, step) is StepState.FAILED:
            raise Unsuccessful(f"The step failed; `muster runs show {run_id}` says why.")

    return step
