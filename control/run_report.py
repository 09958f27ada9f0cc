"""A run as JSON: what `--json` prints."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from control.shown import Shown
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import (
    Attempt,
    Event,
    Run,
    RunFilter,
    Step,
    Waits,
)

MOST_CHILDREN = 200
"""So many children of a run are shown, the newest of them."""

WORK_KINDS = frozenset({"agent", "undo"})
"""Kinds of steps in which an agent works; the others are recorded values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run with everything that the journal knows about it, but for secrets.

    Attributes:
        children: The runs that it started, in order; the newest 200.
        spent: Tokens and US dollars used by the oldest ancestor and all its descendants, who share
            its budget.
    """

    run: Run
    steps: Sequence[Step]
    attempts: Sequence[Attempt]
    events: Sequence[Event]
    children: Sequence[Run]
    spent: tuple[int, float]

    @classmethod
    async def read(cls, journal: Journal, run: Run) -> Self:
        """Read what belongs to `run`, and mask what the settings say is secret, or looks so."""
        shown = Shown.by_settings()
        return cls(
            run=shown.row(run),
            steps=shown.rows(await journal.steps(run.run_id)),
            attempts=shown.rows(await journal.attempts(run.run_id)),
            events=shown.rows(await _all_events(journal, run.run_id)),
            children=shown.rows(await _children(journal, run.run_id)),
            spent=await journal.spent(run.root_id or run.run_id),
        )

    def attempts_of(self, step: str) -> list[Attempt]:
        """Return the attempts of a step, in order."""
        return [attempt for attempt in self.attempts if attempt.step == step]

    def to_json(self) -> dict[str, Any]:
        """Return what `runs show --json` prints."""
        run, attempts = self.run, defaultdict[str, list[Attempt]](list)
        for attempt in self.attempts:
            attempts[attempt.step].append(attempt)
        return {
            **run_json(run),
            "spent_by_family": _amount(*self.spent),
            "payload": _parsed(run.payload),
            "steps": [step_json(step, attempts[step.step]) for step in self.steps],
            "children": [run_json(child) for child in self.children],
            "events": [event_json(event) for event in self.events],
            "envelope": _parsed(run.envelope),
            "trace": run.trace,
        }


def run_json(run: Run) -> dict[str, Any]:
    """Return a run as lists show it: no payload, no envelope. `Shown` masks its secrets before."""
    return {
        "run_id": run.run_id,
        "status": run.state.value,
        "flow": run.flow,
        "version": run.version,
        "source": run.source,
        "tenant": run.tenant,
        "user": run.user,
        "thread": run.thread,
        "key": run.key,
        "tags": dict(run.tags),
        "priority": run.priority,
        "allow_delivery": run.allow_delivery,
        "trace_id": run.trace_id,
        "singleton": run.singleton,
        "parent": run.parent_id,
        "root": run.root_id,
        "replay_of": run.replay_of,
        "replayed_as": run.replayed_as,
        "budget": _budget_json(run),
        "spent": _amount(run.spent_tokens, run.spent_usd),
        "waits": _waits_json(run.waits),
        "steps_done": run.steps_done,
        "losses": run.losses,
        "worker": run.owner,
        "created_at": iso(run.created_at),
        "available_at": iso(run.available_at),
        "started_at": iso(run.started_at),
        "finished_at": iso(run.finished_at),
        "seconds": seconds_of(run),
        "cancel_reason": run.cancel_reason,
        "fingerprint": run.fingerprint,
        "error": _parsed(run.failure),
    }


def event_json(event: Event) -> dict[str, Any]:
    """Return an event as a line of `runs watch --json`."""
    return {
        "run_id": event.run_id,
        "number": event.number,
        "type": event.type,
        "at": iso(event.at),
        "step": event.step,
        "data": _parsed(event.data),
    }


def seconds_of(item: Run | Step) -> float | None:
    """Return how long a run or step took; None while it has not ended."""
    if item.started_at is None or item.finished_at is None:
        return None
    return round(max(0.0, item.finished_at - item.started_at), 6)


def iso(at: float | None) -> str | None:
    """Return a time of the journal as ISO 8601 in UTC."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def step_json(step: Step, attempts: Iterable[Attempt]) -> dict[str, Any]:
    """Return a step with its attempts."""
    return {
        "step": step.step,
        "kind": step.kind,
        "agent": step.agent if step.kind in WORK_KINDS else None,
        "status": step.state.value,
        "attempt": step.attempt,
        "inline": step.inline,
        "worker": step.executor,
        "losses": step.losses,
        "started_at": iso(step.started_at),
        "finished_at": iso(step.finished_at),
        "seconds": seconds_of(step),
        "attempts": [_attempt_json(attempt) for attempt in attempts],
        "input": _parsed(step.input),
        "result": _parsed(step.result),
        "error": _parsed(step.failure),
    }


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    return {
        "attempt": attempt.attempt,
        "outcome": attempt.outcome,
        "worker": attempt.executor,
        "seconds": attempt.seconds,
        "finished_at": iso(attempt.finished_at),
        "error": _parsed(attempt.failure),
    }


def _budget_json(run: Run) -> dict[str, Any] | None:
    if run.budget_tokens is None and run.budget_usd is None:
        return None
    return _amount(run.budget_tokens, run.budget_usd)


def _amount(tokens: int | None, usd: float | None) -> dict[str, Any]:
    return {"tokens": tokens, "usd": usd}


def _waits_json(waits: Waits | None) -> dict[str, Any] | None:
    if waits is None:
        return None
    return {
        "until": iso(waits.until),
        "signals": sorted(waits.signals),
        "children": list(waits.children),
        "singleton": waits.singleton,
    }


def _parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)


async def _children(journal: Journal, run_id: str) -> Sequence[Run]:
    newest_first = await journal.runs(RunFilter(parent_id=run_id, limit=MOST_CHILDREN))
    return newest_first[::-1]


async def _all_events(journal: Journal, run_id: str) -> list[Event]:
    events: list[Event] = []
    while page := await journal.events(run_id, events[-1].number if events else 0):
        events += page
    return events
