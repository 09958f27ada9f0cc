"""The agents' limits: as registered, or as set at run time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from agents.definition import AgentDefinition
from agents.rates import parse_rate
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import AgentLimit
from envelope.ports.permits import Permits
from envelope.ports.rates import Rate, RateLimits, RateWant


class AgentLimits:
    """What holds for each agent now; the journal remembers what was set at run time."""

    def __init__(self, journal: Journal, permits: Permits, rates: RateLimits) -> None:
        self._journal = journal
        self._permits = permits
        self._rates = rates
        self._set: Mapping[str, AgentLimit] = {}

    async def refresh(self) -> None:
        """Learn what was set; called every second.

        Raises:
            JournalUnavailable: The database is away; what was known goes on to hold.
        """
        self._set = {limit.agent: limit for limit in await self._journal.limits()}
        concurrencies = {
            name: limit.concurrency
            for name, limit in self._set.items()
            if limit.concurrency is not None
        }
        await self._permits.set_limits(concurrencies)

    def before_attempt(
        self, agent: AgentDefinition, assured: Callable[[], Awaitable[None]]
    ) -> Callable[[int], Awaitable[None]]:
        """Return what an attempt of the agent waits for: lease and permit, then its rate.

        Args:
            agent: The agent.
            assured: Returns when the process's lease holds and the step has its permit.
        """
        rate = self._rate_of(agent)
        wants = [RateWant(key=f"agent:{agent.name}", rate=rate)] if rate is not None else []

        async def reserve(_attempt: int) -> None:
            await assured()
            if wants:
                await self._rates.reserve(wants)
                await assured()  # that may have taken long

        return reserve

    def _rate_of(self, agent: AgentDefinition) -> Rate | None:
        override = self._set.get(agent.name)
        if override is not None and override.rate is not None:
            return parse_rate(override.rate)
        return agent.rate_limit
