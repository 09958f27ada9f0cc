"""One cause of failure: its groups, its runs, and one run in detail."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from control.dead_letters import DEAD_STATES
from control.outcome import failure_of
from control.run_lookup import find_run
from control.run_report import iso, run_json, step_json
from control.shown import Shown
from envelope.errors import InvalidInput
from envelope.failure import Failure
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import (
    Attempt,
    FailureGroup,
    Run,
    RunFilter,
    Step,
)

MOST_GROUPS = 1000
MOST_RUNS = 50
_SHORTEST = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureReport:
    """A dead letter, and the others of its cause.

    Attributes:
        run: The one that was named, or the newest of the cause.
        failure: Why it ended.
        step: The step that failed; None where the flow itself did.
        attempts: Those of that step.
        groups: The cause in each flow and state; empty where all its runs were replayed.
        runs: The newest 50 of the cause that were not replayed.
    """

    run: Run
    failure: Failure | None
    step: Step | None
    attempts: Sequence[Attempt]
    groups: Sequence[FailureGroup]
    runs: Sequence[Run]

    def to_json(self) -> dict[str, Any]:
        """Return what `dead show --json` prints."""
        return {
            "fingerprint": self.run.fingerprint or "",
            "groups": [group_json(group) for group in self.groups],
            "runs": [run_json(run) for run in self.runs],
            "example": {
                **run_json(self.run),
                "payload": json.loads(self.run.payload),
                "failed_step": None if self.step is None else step_json(self.step, self.attempts),
                "trace": self.run.trace,
            },
        }


def group_json(group: FailureGroup) -> dict[str, Any]:
    """Return a group as lists show it."""
    return {
        "fingerprint": group.fingerprint,
        "flow": group.flow,
        "status": group.state.value,
        "code": group.code,
        "message": group.message,
        "count": group.count,
        "first_at": iso(group.first_at),
        "last_at": iso(group.last_at),
        "example": group.example,
    }


async def failure_report(journal: Journal, name: str) -> FailureReport:
    """Report on a cause, named by its fingerprint or by one of its runs.

    Raises:
        UnknownRun: There is neither such a fingerprint nor such a run.
        InvalidInput: Several are named so, or the run is no dead letter.
    """
    groups = await journal.failure_groups(MOST_GROUPS)
    fingerprint = _fingerprint(groups, name)
    if fingerprint is None:
        run = _dead(await find_run(journal, name))
    else:
        example = next(group.example for group in groups if group.fingerprint == fingerprint)
        run = await find_run(journal, example)
    cause = run.fingerprint or ""
    which = RunFilter(states=DEAD_STATES, fingerprint=cause, not_replayed=True, limit=MOST_RUNS)
    failure = failure_of(run)
    step, attempts = await _failed_step(journal, run, failure)
    shown = Shown.by_settings()
    return FailureReport(
        run=shown.row(run),
        failure=failure_of(shown.row(run)),
        step=None if step is None else shown.row(step),
        attempts=shown.rows(attempts),
        groups=shown.rows(group for group in groups if group.fingerprint == cause),
        runs=shown.rows(await journal.runs(which)),
    )


def _fingerprint(groups: Sequence[FailureGroup], name: str) -> str | None:
    """Return the fingerprint that `name` is or begins."""
    known = {group.fingerprint for group in groups}
    if name in known or len(name) < _SHORTEST:
        return name if name in known else None
    found = sorted(fingerprint for fingerprint in known if fingerprint.startswith(name))
    if len(found) > 1:
        raise InvalidInput(f"{name!r} begins {len(found)} fingerprints: {', '.join(found)}.")
    return found[0] if found else None


def _dead(run: Run) -> Run:
    if run.state not in DEAD_STATES:
        raise InvalidInput(f"Run {run.run_id} is {run.state.value}: it is no dead letter.")
    return run


async def _failed_step(
    journal: Journal, run: Run, failure: Failure | None
) -> tuple[Step | None, Sequence[Attempt]]:
    if failure is None or failure.step is None:
        return None, ()
    steps = {step.step: step for step in await journal.steps(run.run_id)}
    attempts = await journal.attempts(run.run_id)
    return steps.get(failure.step), [one for one in attempts if one.step == failure.step]
