"""Why a running run does not move: its worker, its steps in flight, permits, rates, locks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from control.durations import span
from control.living import LivingWorker
from control.run_report import WORK_KINDS
from control.surroundings import Surroundings
from envelope.ports.journal_rows import (
    SETTLED_STATES,
    Run,
    Step,
    StepState,
)
from envelope.ports.locks import LockInfo
from envelope.ports.permits import AgentPermits, PermitWaiter
from envelope.ports.rates import BucketReport

_MOST_TOLD = 5
_MOST_HOLDERS = 3


async def why_running(around: Surroundings, run: Run, workers: Sequence[LivingWorker]) -> list[str]:
    """Return sentences about the run's worker and what it has under way."""
    owner = _owner(run, workers)
    permits, locks = await around.agents(), await around.held_locks()
    if permits is None or locks is None:
        return [owner, "Redis does not answer: permits and locks are granted when it is back."]
    asking = [
        (agent, waiter)
        for agent in permits
        for waiter in agent.waiters
        if waiter.run_id == run.run_id
    ]
    waiting = {waiter.step for _, waiter in asking}
    steps = [step for step in await _in_flight(around, run) if step.step not in waiting]
    agents = {step.agent for step in steps}
    said = [
        *_lock(run, locks),
        *(_permit(agent, waiter) for agent, waiter in asking),
        *_rates(await around.buckets() or (), agents),
        *(_step(step, workers) for step in steps),
    ]
    if not said:
        said = ["No step is in flight: the flow computes, or waits for a lock; see `muster locks`."]
    return [owner, *_first(said)]


def _owner(run: Run, workers: Sequence[LivingWorker]) -> str:
    found = next((worker for worker in workers if worker.worker_id == run.owner), None)
    if found is not None:
        return f"Worker {run.owner} executes it; its lease runs for {span(found.lease_seconds)}."
    gone = f"Its worker {run.owner} is gone"
    if workers:
        return f"{gone}; another one takes the run over within seconds."
    return f"{gone} and no other is alive. Start one: celery -A worker worker, or muster dev."


async def _in_flight(around: Surroundings, run: Run) -> list[Step]:
    return [
        step
        for step in await around.journal.steps(run.run_id)
        if step.state not in SETTLED_STATES and step.kind in WORK_KINDS
    ]


def _lock(run: Run, locks: Iterable[LockInfo]) -> list[str]:
    """The singleton lock may still be held in the name of a run that was believed dead."""
    return [
        f"It waits for lock {lock.key!r}, which {lock.holder} has held for "
        f"{span(time.time() - lock.since)}: {lock.why or lock.owner}."
        for lock in locks
        if lock.key == run.singleton and lock.owner != run.run_id
    ]


def _permit(agent: AgentPermits, waiter: PermitWaiter) -> str:
    limit = "?" if agent.limit is None else f"{agent.limit:,}"
    holders = ", ".join(
        f"run {holder.run_id} step {holder.step!r}" for holder in agent.holders[:_MOST_HOLDERS]
    )
    more = len(agent.holders) - _MOST_HOLDERS
    rest = f" and {more:,} more" if more > 0 else ""
    return (
        f"Step {waiter.step!r} waits for a permit of agent {agent.agent!r}: place "
        f"{waiter.place:,} of {len(agent.waiters):,}; {len(agent.holders):,} of {limit} are held"
        f"{f', by {holders}{rest}' if holders else ''}."
    )


def _rates(buckets: Iterable[BucketReport], agents: set[str]) -> list[str]:
    said = []
    for bucket in buckets:
        agent = bucket.key.removeprefix("agent:")
        if agent not in agents:
            continue
        if bucket.paused_seconds > 0:
            said.append(f"Agent {agent!r} is paused for {span(bucket.paused_seconds)}.")
        elif bucket.level < 0:
            said.append(f"Agent {agent!r} is at its rate limit; {-bucket.level:,.0f} are promised.")
    return said


def _step(step: Step, workers: Sequence[LivingWorker]) -> str:
    name = f"Step {step.step!r} ({step.agent})"
    if step.state is StepState.RUNNING:
        since = f" for {span(time.time() - step.started_at)}" if step.started_at else ""
        return f"{name} runs on {step.executor}{since}, attempt {step.attempt}."
    if not any(step.agent in worker.agents for worker in workers):
        return f"{name} waits in queue agent.{step.agent}, but no living worker has that agent."
    sent = f", sent {span(time.time() - step.sent_at)} ago" if step.sent_at else ""
    return f"{name} waits in queue agent.{step.agent}{sent}."


def _first(said: Sequence[str]) -> list[str]:
    more = len(said) - _MOST_TOLD
    return [*said[:_MOST_TOLD], f"And {more:,} more like that."] if more > 0 else list(said)
