"""A further attempt runs without the permit, which the first one gave back when it failed."""

from __future__ import annotations

from tests.rig.faults.planted.planting import Patch
from worker.engine.inline_step import InlineStep

_retried = InlineStep._retried


def _give_back_and_retry(step: InlineStep, attempt: int, error: BaseException, wait: float) -> None:
    run_id = step._execution.run.run_id
    step._parts.permits.release(step._call.agent.name, run_id, step._call.slot)
    _retried(step, attempt, error, wait)


PATCHES = (Patch(InlineStep, "_retried", _give_back_and_retry),)
