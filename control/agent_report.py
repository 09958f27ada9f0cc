"""Each agent's limits, who holds permits, who waits and why, and which workers serve it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.registry import AGENTS
from control.living import LivingWorker, living_workers
from control.run_report import iso
from control.surroundings import Surroundings
from envelope.errors import QueueUnavailable
from envelope.ports.journal_rows import AgentLimit
from envelope.ports.permits import AgentPermits, PermitHolder, PermitWaiter
from envelope.ports.rates import BucketReport, Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """An agent as the cluster has it now.

    Attributes:
        limit: How many steps may run at once; None where nobody here knows.
        rate: Requests per time, as text; None for no limit.
        limit_set, rate_set: Whether that was set at run time.
        inline: Whether its steps run in their runs' own process; None where it is not registered
            here.
        workers: The living workers that have it.
    """

    agent: str
    limit: int | None
    rate: str | None
    limit_set: bool
    rate_set: bool
    inline: bool | None
    holders: Sequence[PermitHolder]
    waiters: Sequence[PermitWaiter]
    why: str | None
    bucket: BucketReport | None
    workers: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return what `agents --json` prints of an agent."""
        return {
            "agent": self.agent,
            "limit": self.limit,
            "limit_set": self.limit_set,
            "rate": self.rate,
            "rate_set": self.rate_set,
            "inline": self.inline,
            "held": len(self.holders),
            "waiting": len(self.waiters),
            "why": self.why,
            "holders": [_holder_json(holder) for holder in self.holders],
            "waiters": [_waiter_json(waiter) for waiter in self.waiters],
            "bucket": None if self.bucket is None else _bucket_json(self.bucket),
            "workers": list(self.workers),
        }


async def agent_reports(around: Surroundings) -> list[AgentReport]:
    """Return every agent that is registered here, served somewhere, limited, or asked for.

    Raises:
        JournalUnavailable: The database is away.
        QueueUnavailable: Redis is away.
    """
    permits, buckets = await around.agents(), await around.buckets()
    if permits is None or buckets is None:
        raise QueueUnavailable(
            "Redis does not answer: nobody can say who holds permits. Check MUSTER_REDIS_URL."
        )
    sources = _Sources(
        permits={agent.agent: agent for agent in permits},
        buckets={bucket.key: bucket for bucket in buckets},
        limits={limit.agent: limit for limit in await around.journal.limits()},
        workers=await living_workers(around.journal),
    )
    return [sources.report(name) for name in sources.names()]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sources:
    permits: dict[str, AgentPermits]
    buckets: dict[str, BucketReport]
    limits: dict[str, AgentLimit]
    workers: list[LivingWorker]

    def names(self) -> list[str]:
        served = {agent for worker in self.workers for agent in worker.agents}
        return sorted({*AGENTS.names(), *served, *self.permits, *self.limits})

    def report(self, name: str) -> AgentReport:
        known = AGENTS.get(name) if name in AGENTS else None
        limit = self.limits.get(name, AgentLimit(agent=name))
        permits = self.permits.get(
            name, AgentPermits(agent=name, limit=None, holders=(), waiters=())
        )
        bucket = self.buckets.get(f"agent:{name}")
        return AgentReport(
            agent=name,
            limit=limit.concurrency or permits.limit or (known.concurrency if known else None),
            rate=limit.rate or (known.rate if known else _rate_text(bucket)),
            limit_set=limit.concurrency is not None,
            rate_set=limit.rate is not None,
            inline=known.inline if known else None,
            holders=permits.holders,
            waiters=permits.waiters,
            why=permits.why,
            bucket=bucket,
            workers=sorted(worker.worker_id for worker in self.workers if name in worker.agents),
        )


def _rate_text(bucket: BucketReport | None) -> str | None:
    if bucket is None or bucket.rate is None:
        return None
    return f"{bucket.rate.amount:g} per {bucket.rate.seconds:g} s"


def _holder_json(holder: PermitHolder) -> dict[str, Any]:
    return {
        "run_id": holder.run_id,
        "step": holder.step,
        "tenant": holder.tenant,
        "worker": holder.worker,
        "since": iso(holder.since),
    }


def _waiter_json(waiter: PermitWaiter) -> dict[str, Any]:
    return {
        "place": waiter.place,
        "run_id": waiter.run_id,
        "step": waiter.step,
        "tenant": waiter.tenant,
        "priority": waiter.priority,
        "worker": waiter.worker,
        "since": iso(waiter.since),
    }


def _bucket_json(bucket: BucketReport) -> dict[str, Any]:
    return {
        "level": round(bucket.level, 3),
        "rate": _rate_json(bucket.rate),
        "paused_seconds": round(bucket.paused_seconds, 3),
    }


def _rate_json(rate: Rate | None) -> dict[str, float] | None:
    if rate is None:
        return None
    return {"amount": rate.amount, "seconds": rate.seconds, "burst": rate.burst}
