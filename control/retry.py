"""Repeats a run that has ended, as a new run."""

from __future__ import annotations

import json

from control.async_manager import AsyncCampaignManager
from control.async_run import AsyncRun
from control.outcome import has_ended
from envelope.errors import InvalidInput
from envelope.ports.journal_rows import Run

RETRY_TAG = "retry_of"


async def retry_run(manager: AsyncCampaignManager, run: Run) -> AsyncRun:
    """Enqueue a run with the flow, payload and labels of `run`, and the tag `retry_of`.

    Raises:
        InvalidInput: The run has not ended, or its payload does not fit the flow any more.
        NotRegistered: The flow is not registered any more.
    """
    if not has_ended(run):
        raise InvalidInput(f"Run {run.run_id} is {run.state.value}. Only ended runs are retried.")
    return await manager.ingest_event(
        {
            "flow": run.flow,
            "payload": json.loads(run.payload),
            "source": run.source,
            "tenant": run.tenant,
            "user": run.user,
            "thread": run.thread,
            "tags": {**run.tags, RETRY_TAG: run.run_id},
            "priority": run.priority,
            "allow_delivery": run.allow_delivery,
        }
    )
