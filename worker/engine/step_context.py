"""Makes the context that an agent sees from a run's row."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import count
from typing import Any

from agents.context import StepContext
from envelope.ports.effects import Effects
from envelope.ports.journal_rows import Run
from worker.engine.metering import StepMeter
from worker.engine.notices import STREAM
from worker.engine.parts import EngineParts

Emitter = Callable[[str, dict[str, Any]], None]


def step_context(
    parts: EngineParts,
    run: Run,
    step: str,
    agent: str,
    attempt: int,
    *,
    emitter: Emitter,
    meter: StepMeter,
    effects: Effects,
    claimed: int | None = None,
) -> StepContext:
    """Return the context of one attempt.

    Args:
        parts: What the process provides.
        run: The run.
        step: The step's id.
        agent: The agent's name.
        attempt: Which execution it is.
        emitter: Appends an event.
        meter: Counts what model calls use.
        effects: Performs its effects.
        claimed: The attempt for which this process took the step from its agent's queue; None for
            a step that the run's own process executes. By one or the other its effects are fenced.
    """
    log = parts.log.bind(
        run=run.run_id,
        flow=run.flow,
        step=step,
        agent=agent,
        attempt=attempt,
        trace_id=run.trace_id,
    )
    return StepContext(
        run_id=run.run_id,
        step=step,
        agent=agent,
        attempt=attempt,
        tenant=run.tenant,
        user=run.user,
        thread=run.thread,
        allow_delivery=run.allow_delivery,
        trace_id=run.trace_id,
        log=log,
        resources=parts.resources,
        emitter=emitter,
        streamer=_streamer(parts, run, step),
        meter=meter.meter,
        effects=effects,
        origin_id=run.origin_id,
        epoch=run.epoch if claimed is None else None,
        executor=None if claimed is None else parts.worker_id,
        claimed=claimed,
    )


def _streamer(parts: EngineParts, run: Run, step: str) -> Callable[[str], None]:
    pieces = count(1)

    def stream(text: str) -> None:
        notice = json.dumps({"step": step, "piece": next(pieces), "text": text})
        parts.wakeups.notify(f"{run.run_id}.{STREAM}", notice)

    return stream
