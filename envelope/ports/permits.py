"""Permits: slots of an agent's cluster-wide concurrency limit.

A step holds one permit from before it runs (or is published) until its outcome is committed. When
none is free it waits in its agent's queue: by priority, then fair among tenants, then in order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitAsk:
    """A step that needs a permit.

    Attributes:
        agent: Whose permit.
        run_id: The run.
        step: The step within it. Run and step together name the permit: a step has at most one,
            whichever process holds it.
        limit: The agent's registered concurrency; a limit set at run time goes first.
        tenant: For fairness.
        priority: 0 to 9; higher goes first.
    """

    agent: str
    run_id: str
    step: str
    limit: int
    tenant: str = "default"
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitHolder:
    """A permit that is held: by which process, for which step, since when (seconds since 1970)."""

    run_id: str
    step: str
    tenant: str
    worker: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PermitWaiter:
    """A step that waits, with its place in the order of grants (1 is next)."""

    run_id: str
    step: str
    tenant: str
    priority: int
    worker: str
    since: float
    place: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPermits:
    """One agent's permits.

    Attributes:
        limit: The limit in force; None where nobody has asked yet.
        why: Why waiters wait, for a person; None where nobody waits.
    """

    agent: str
    limit: int | None
    holders: Sequence[PermitHolder]
    waiters: Sequence[PermitWaiter]
    why: str | None = None


Living = Callable[[], Awaitable[Collection[str]]]
"""Returns the ids of the worker processes that live by the journal, the only judge of that."""


class Permits(Protocol):
    """The permits as one process sees them; belongs to one event loop."""

    async def acquire(self, ask: PermitAsk) -> None:
        """Return when this process holds the step's permit; wait in the agent's queue until then.

        Where another process holds the permit of this very step, it changes hands at once: the
        executor takes it over from the run's owner, an owner from its dead predecessor. A
        cancelled caller leaves the queue and holds nothing. While Redis is away the caller waits.
        """

    def release(self, agent: str, run_id: str, step: str) -> None:
        """Give a permit back, with the next batch; without effect where another process has it."""

    def told(self, notice: str) -> None:
        """Take a notice that came to this process's wake-up channel: a permit was granted."""

    async def look(self) -> None:
        """One round of care, called about once a second.

        Takes back permits of processes that live no more, finds grants whose notice was lost, and
        after a flush registers this process's permits again: until all the living have done so,
        or a lease has passed, nothing is granted.
        """

    async def set_limits(self, limits: Mapping[str, int]) -> None:
        """Make these the limits set at run time; agents that are not named have none."""

    async def report(self) -> Sequence[AgentPermits]:
        """Return all agents that have been asked for, by name."""

    async def close(self) -> None:
        """Give everything back and let go of connections."""
