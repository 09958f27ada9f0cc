"""A run's end is told to everybody, and then committed."""

from __future__ import annotations

from envelope.ports.journal_rows import RunState
from tests.rig.faults.planted.planting import Patch
from worker.engine.ending import Ending
from worker.engine.engine import Engine
from worker.engine.execution import RunExecution

_end = Engine._end


async def _announce_first(
    engine: Engine, execution: RunExecution, ending: Ending
) -> RunState | None:
    run = execution.run
    if ending.end is not None:
        engine.parts.log.info("run.ended", run=run.run_id, state=str(ending.end.state))
        engine.parts.wakeups.notify(run.run_id, "events")
    return await _end(engine, execution, ending)


PATCHES = (Patch(Engine, "_end", _announce_first),)
