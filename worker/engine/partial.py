"""What a run had made when its budget ended: nobody pays for work and gets nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from envelope.envelope import Envelope, Status
from envelope.errors import BudgetExceeded, JournalUnavailable, TooLarge
from envelope.failure import Failure
from envelope.ports.journal_rows import Run, Step, StepState
from envelope.ports.journal_writes import RunEnd
from envelope.record import Record
from worker.engine.parts import EngineParts


async def with_partial(parts: EngineParts, run: Run, end: RunEnd) -> RunEnd:
    """Return `end` with the records of all steps that succeeded, where the budget was exceeded."""
    if end.failure is None or end.envelope is not None:
        return end
    failure = Failure.model_validate_json(end.failure)
    if failure.code != BudgetExceeded.code:
        return end
    try:
        records = _records(await parts.journal.steps(run.run_id))
        if not records:
            return end
        made = Envelope.from_records(
            records,
            source=run.flow,
            status=Status.PARTIAL,
            error=failure,
            run_id=run.run_id,
            trace_id=run.trace_id,
        )
        text = made.to_json(max_bytes=parts.settings.envelope_max_bytes)
    except (JournalUnavailable, TooLarge) as error:
        parts.log.warning("run.partial_not_kept", run=run.run_id, error=str(error))
        return end
    return replace(end, envelope=text)


def _records(steps: Sequence[Step]) -> list[Record]:
    """Return each record once, in the order of the steps."""
    found: dict[str, Record] = {}
    for step in steps:
        if step.state is StepState.SUCCEEDED and step.kind == "agent" and step.result:
            for record in Envelope.from_json(step.result, max_bytes=None).records:
                found.setdefault(record.id, record)
    return list(found.values())
