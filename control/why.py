"""Why a run does not move, for people, from the same truth as the engine's."""

from __future__ import annotations

import time
from collections.abc import Sequence

from control.durations import moment, span
from control.living import LivingWorker, living_workers
from control.outcome import failure_of, has_ended
from control.run_pages import ACTIVE_STATES
from control.surroundings import Surroundings
from control.why_running import why_running
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import (
    Run,
    RunFilter,
    RunState,
    Waits,
)
from envelope.ports.ledger import Ledger, approval_signal
from worker.delivery.ledger_of import ledger_of

_APPROVALS = approval_signal("")
_MOST_CHILDREN = 3
_MOST_IN_LINE = 1000


async def why(around: Surroundings, run: Run) -> list[str]:
    """Return sentences that say what the run waits for, the most important one first.

    Raises:
        JournalUnavailable: The database is away. Redis being away is one of the answers.
    """
    if has_ended(run):
        return [_ended(run)]
    workers = await living_workers(around.journal)
    if run.state is RunState.RUNNING:
        said = await why_running(around, run, workers)
    elif run.state is RunState.WAITING:
        said = await _waiting(around.journal, run, workers)
    else:
        said = await _queued(around, run, workers)
    return [*_cancelling(run), *said]


def _ended(run: Run) -> str:
    failure = failure_of(run)
    if failure is None:
        return f"It has ended: it is {run.state.value}."
    where = f" in step {failure.step!r} ({failure.agent})" if failure.step else ""
    return f"It is {run.state.value}: {failure.code}{where}: {failure.message}"


def _cancelling(run: Run) -> list[str]:
    if run.cancel_reason is None:
        return []
    return [f"It was asked to stop ({run.cancel_reason}); its worker lets it compensate first."]


async def _queued(around: Surroundings, run: Run, workers: Sequence[LivingWorker]) -> list[str]:
    now = time.time()
    if run.available_at > now:
        return [
            f"It is not due until {moment(run.available_at)}, in {span(run.available_at - now)}."
        ]
    able = [worker for worker in workers if run.version in worker.flows.get(run.flow, ())]
    if not able:
        return [_nobody_can(run, workers)]
    return [await _message(around, run, now), _busy(able)]


def _nobody_can(run: Run, workers: Sequence[LivingWorker]) -> str:
    if not workers:
        return "No worker is alive. Start one: celery -A worker worker, or muster dev."
    versions = sorted({number for worker in workers for number in worker.flows.get(run.flow, ())})
    if versions:
        have = ", ".join(map(str, versions))
        return (
            f"No living worker has version {run.version} of flow {run.flow!r}; they have {have}. "
            f"Start a worker that has version {run.version}."
        )
    flows = sorted({flow for worker in workers for flow in worker.flows})
    return (
        f"No living worker has flow {run.flow!r}; they have {', '.join(flows) or 'none'}. "
        "Start a worker whose MUSTER_INCLUDE names its module."
    )


async def _message(around: Surroundings, run: Run, now: float) -> str:
    topic = f"runs.{run.flow}"
    if run.sent_at is None:
        return "No message was sent for it yet; a worker does that within seconds."
    sent = f"Its message was sent {span(now - run.sent_at)} ago ({run.sends} in all)"
    depth = await around.depth(topic)
    if depth is None:
        return f"{sent}, but Redis does not answer: it is carried when Redis is back."
    if not depth:
        return f"{sent} and queue {topic} is empty: a worker has just taken it, or it is sent anew."
    return f"{sent}; messages in queue {topic}: {depth:,}."


def _busy(able: Sequence[LivingWorker]) -> str:
    runs = sum(worker.runs for worker in able)
    return f"Living workers that have this flow: {len(able)}; runs that they hold: {runs:,}."


async def _waiting(journal: Journal, run: Run, workers: Sequence[LivingWorker]) -> list[str]:
    waits = run.waits or Waits()
    said = [
        *[await _signal(journal, run, name) for name in sorted(waits.signals)],
        *_time(waits),
        *await _children(journal, waits),
        *await _line(journal, run, waits),
    ]
    if not workers:
        said.append("No worker is alive to wake it. Start one: celery -A worker worker.")
    return said


def _time(waits: Waits) -> list[str]:
    if waits.until is None:
        return []
    left = waits.until - time.time()
    if left <= 0:
        return [f"It waited until {moment(waits.until)}; a worker wakes it within seconds."]
    return [f"It waits until {moment(waits.until)}, for {span(left)} more."]


async def _signal(journal: Journal, run: Run, name: str) -> str:
    if name.startswith(_APPROVALS):
        return await _approval(ledger_of(journal), name.removeprefix(_APPROVALS))
    return f"It waits for signal {name!r}: muster runs signal {run.run_id} {name}"


async def _approval(ledger: Ledger, approval_id: str) -> str:
    row = await ledger.approval(approval_id)
    what = f" {row.title!r}" if row is not None and row.title else ""
    who = f" by somebody with the role {row.role!r}" if row is not None else ""
    return f"It waits for approval{what}{who}: muster approvals show {approval_id}"


async def _children(journal: Journal, waits: Waits) -> list[str]:
    rows = [await journal.run(child) for child in waits.children[:_MOST_CHILDREN]]
    said = [
        f"It waits for child run {row.run_id} of flow {row.flow!r}, which is {row.state.value}."
        for row in rows
        if row is not None
    ]
    more = len(waits.children) - _MOST_CHILDREN
    return [*said, f"It waits for {more:,} more children."] if more > 0 else said


async def _line(journal: Journal, run: Run, waits: Waits) -> list[str]:
    if waits.singleton is None:
        return []
    which = RunFilter(states=ACTIVE_STATES, singleton=waits.singleton, limit=_MOST_IN_LINE)
    others = [row for row in await journal.runs(which) if row.run_id != run.run_id]
    in_line = [row for row in others if row.waits is not None and row.waits.singleton is not None]
    before = sum(_turn(row) < _turn(run) for row in in_line)
    holders = [row for row in others if row not in in_line]
    if not holders:
        return [f"Singleton key {waits.singleton!r} is free: a worker wakes it within seconds."]
    behind = f"run {holders[-1].run_id}, which is {holders[-1].state.value}"
    line = f"; {before:,} in line before it" if before else ""
    return [f"It waits behind {behind} and has singleton key {waits.singleton!r}{line}."]


def _turn(run: Run) -> tuple[int, float, str]:
    return (-run.priority, run.created_at, run.run_id)
