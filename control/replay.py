"""Repeats a run that has ended, as a new run that takes over what succeeded: nobody pays twice."""

from __future__ import annotations

import json

from control.admission import Repetition
from control.async_manager import AsyncCampaignManager
from control.async_run import AsyncRun
from control.outcome import has_ended
from envelope.errors import InvalidInput
from envelope.ports.journal_rows import Run
from envelope.ports.journal_writes import Replay


async def replay_run(
    manager: AsyncCampaignManager, run: Run, *, keep: bool = True, from_step: str | None = None
) -> AsyncRun:
    """Enter a run that repeats `run`: same version, payload, labels, permission and budget.

    Callers who repeat a run at the same time, or again after a crash in between, get the same new
    run; once it is there, another call makes another one.

    Args:
        manager: Accepts the run.
        run: The run to repeat, ended.
        keep: Take over the steps that succeeded, with their results. Nothing is taken over from a
            run that undid what it had done.
        from_step: Take over only those before this step.

    Raises:
        InvalidInput: The run has not ended, has no such step, or its payload does not fit the flow
            any more.
        NotRegistered: This version of the flow is not registered here any more.
        SingletonConflict: An active run has the singleton key.
        JournalUnavailable: The database is away; nothing was accepted.
    """
    if not has_ended(run):
        raise InvalidInput(f"Run {run.run_id} is {run.state.value}. Only ended runs are repeated.")
    check_extent(keep=keep, from_step=from_step)
    event = {
        "flow": run.flow,
        "payload": json.loads(run.payload),
        "source": run.source,
        "tenant": run.tenant,
        "user": run.user,
        "thread": run.thread,
        "key": _key(run),
        "tags": dict(run.tags),
        "priority": run.priority,
        "allow_delivery": run.allow_delivery,
        "budget_tokens": run.budget_tokens,
        "budget_usd": run.budget_usd,
    }
    if keep and await _was_undone(manager, run):
        if from_step is not None:
            raise InvalidInput(
                f"Run {run.run_id} undid what it had done. Repeat it from scratch, not from a step."
            )
        keep = False
    replay = Replay(run_id=run.run_id, keep=keep, before=from_step)
    return await manager.ingest_repetition(event, Repetition(run=run, replay=replay))


def check_extent(*, keep: bool, from_step: str | None) -> None:
    """Refuse to repeat a run from a step and from scratch at once.

    Raises:
        InvalidInput: Both are asked for.
    """
    if from_step is not None and not keep:
        raise InvalidInput("Either repeat from a step, or everything from scratch: not both.")


async def _was_undone(manager: AsyncCampaignManager, run: Run) -> bool:
    steps = await manager.backend.journal.steps(run.run_id)
    return any(step.kind == "undo" for step in steps)


def _key(run: Run) -> str:
    """Names the repetition by the run and by the repetition before it."""
    parts = ("replay", run.run_id, run.replayed_as)
    return ":".join(part for part in parts if part)
