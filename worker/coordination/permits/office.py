"""The ledger of permits in plain Python: what the scripts in Redis do, for desks of one process."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from envelope.ports.permits import AgentPermits, PermitHolder, PermitWaiter
from worker.coordination.permits.desk import Batch, Give, Waiter
from worker.coordination.permits.fair_queue import FairQueue
from worker.coordination.permits.names import Grant, run_and_step
from worker.coordination.permits.order import why

_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class _Entry:
    """A permit that is held, or an ask."""

    worker: str
    ticket: int
    tenant: str
    priority: int
    since: int


@dataclass(slots=True)
class _Agent:
    registered: int = 0
    held: dict[str, _Entry] = field(default_factory=dict)
    asks: dict[str, _Entry] = field(default_factory=dict)
    queue: FairQueue = field(default_factory=FairQueue)


class Office:
    """Holds what all desks of this process hold and wait for.

    Args:
        clock: Returns the time in microseconds since 1970.
    """

    def __init__(self, clock: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._clock = clock
        self._desks: dict[str, Callable[[Sequence[Grant]], None]] = {}
        self._agents: defaultdict[str, _Agent] = defaultdict(_Agent)
        self._limits: dict[str, int] = {}

    def join(self, worker: str, granted: Callable[[Sequence[Grant]], None]) -> None:
        """Let a worker's grants be told to `granted`."""
        self._desks[worker] = granted

    def exchange(self, worker: str, batch: Batch) -> int:
        """Take what a desk says, grant what the limits allow, and return the time."""
        now = self._clock()
        for give in batch.gives:
            self._take_back(worker, give)
        for index, waiter in enumerate(batch.asks, 1):
            self._take(worker, waiter, now + index)
        touched = {name[0] for name in (*_names(batch.gives), *_names(batch.asks))}
        for agent in sorted(touched):
            self._settle(agent)
        return now

    def set_limits(self, limits: Mapping[str, int]) -> None:
        """Make these the limits set at run time, by quoted agent."""
        self._limits = dict(limits)
        for agent in sorted(self._agents):
            self._settle(agent)

    def report(self) -> list[AgentPermits]:
        """Return all agents that have been asked for, by name."""
        return [self._report(agent) for agent in sorted(self._agents, key=unquote)]

    def _take_back(self, worker: str, give: Give) -> None:
        name, permit = give.name
        agent = self._agents[name]
        if _is(agent.held.get(permit), worker, give.ticket):
            del agent.held[permit]
        if _is(agent.asks.get(permit), worker, give.ticket):
            del agent.asks[permit]
            agent.queue.remove(permit)

    def _take(self, worker: str, waiter: Waiter, since: int) -> None:
        """Let an ask wait; one for what is held or waited for changes its hands."""
        name, permit = waiter.name
        agent, ask = self._agents[name], waiter.ask
        agent.registered = ask.limit
        entry = _Entry(worker, waiter.ticket, ask.tenant, ask.priority, since)
        if permit in agent.held:
            self._hand(name, permit, entry)
        elif permit in agent.asks:
            known = agent.asks[permit]
            agent.asks[permit] = replace(known, worker=worker, ticket=waiter.ticket)
        else:
            agent.asks[permit] = entry
            agent.queue.put(permit, priority=ask.priority, tenant=ask.tenant)

    def _settle(self, name: str) -> None:
        agent = self._agents[name]
        while agent.queue and len(agent.held) < self._limit(name):
            permit = agent.queue.serve()
            self._hand(name, permit, agent.asks.pop(permit))

    def _hand(self, name: str, permit: str, entry: _Entry) -> None:
        now = self._clock()
        self._agents[name].held[permit] = replace(entry, since=now)
        self._desks[entry.worker]([Grant((name, permit), entry.ticket, now)])

    def _limit(self, name: str) -> int:
        return self._limits.get(name, self._agents[name].registered)

    def _report(self, name: str) -> AgentPermits:
        agent, limit = self._agents[name], self._limit(name)
        return AgentPermits(
            agent=unquote(name),
            limit=limit,
            holders=[_holder(permit, entry) for permit, entry in agent.held.items()],
            waiters=[
                _waiter(permit, agent.asks[permit], place)
                for place, permit in enumerate(agent.queue.in_order(), 1)
            ],
            why=why(limit=limit, held=len(agent.held), waiting=len(agent.asks)),
        )


def _names(parts: Sequence[Give] | Sequence[Waiter]) -> list[tuple[str, str]]:
    return [part.name for part in parts]


def _is(entry: _Entry | None, worker: str, ticket: int) -> bool:
    return entry is not None and (entry.worker, entry.ticket) == (worker, ticket)


def _holder(permit: str, entry: _Entry) -> PermitHolder:
    run_id, step = run_and_step(permit)
    since = entry.since / _MICRO
    return PermitHolder(
        run_id=run_id, step=step, tenant=entry.tenant, worker=entry.worker, since=since
    )


def _waiter(permit: str, entry: _Entry, place: int) -> PermitWaiter:
    run_id, step = run_and_step(permit)
    return PermitWaiter(
        run_id=run_id,
        step=step,
        tenant=entry.tenant,
        priority=entry.priority,
        worker=entry.worker,
        since=entry.since / _MICRO,
        place=place,
    )
