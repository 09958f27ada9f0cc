"""Limits of agents that are set at run time: remembered in SQL, in force in Redis at once."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from agents.rates import parse_rate
from agents.registry import AGENTS
from control.living import living_workers
from control.surroundings import Surroundings
from envelope.errors import InvalidInput, NotRegistered
from envelope.ports.journal import Journal
from envelope.ports.journal_rows import AgentLimit

_NOT_IN_FORCE = "Redis does not answer. Workers put the limit in force when it is back."


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSet:
    """What was set.

    Attributes:
        limit: What now holds for the agent; the journal has it.
        notice: Why it is not in force yet; None where it is.
    """

    limit: AgentLimit
    notice: str | None = None


async def set_agent_limit(
    around: Surroundings,
    agent: str,
    *,
    concurrency: int | None = None,
    rate: str | None = None,
) -> LimitSet:
    """Set what is given, and leave the rest as it was set before.

    Args:
        around: The journal remembers it, the permits put it in force.
        agent: The agent.
        concurrency: How many steps of it may run at once.
        rate: Requests per time, such as `500/min`.

    Raises:
        NotRegistered: Neither this process nor a living worker has that agent.
        InvalidInput: A limit makes no sense.
        JournalUnavailable: The database is away; nothing was set.
    """
    await _check_known(around.journal, agent)
    if concurrency is not None and concurrency < 1:
        raise InvalidInput(f"The concurrency of an agent is at least 1, not {concurrency}.")
    if rate is not None:
        _check_rate(rate)
    before = {limit.agent: limit for limit in await around.journal.limits()}.get(agent)
    if before is not None:
        concurrency = before.concurrency if concurrency is None else concurrency
        rate = before.rate if rate is None else rate
    return await _set(around, AgentLimit(agent=agent, concurrency=concurrency, rate=rate))


async def reset_agent_limit(around: Surroundings, agent: str) -> LimitSet:
    """Forget what was set at run time: the agent's registration holds again.

    Raises:
        NotRegistered: Nobody knows that agent, and nothing was set for it.
        JournalUnavailable: The database is away; nothing was changed.
    """
    if agent not in {limit.agent for limit in await around.journal.limits()}:
        await _check_known(around.journal, agent)
    return await _set(around, AgentLimit(agent=agent))


async def _set(around: Surroundings, limit: AgentLimit) -> LimitSet:
    """Workers read the journal's limits every second; telling Redis now saves that second."""
    await around.journal.set_limit(limit)
    in_force = {
        known.agent: known.concurrency
        for known in await around.journal.limits()
        if known.concurrency is not None
    }
    if around.permits is not None:
        await around.permits.set_limits(in_force)
    answers = await around.agents() is not None
    return LimitSet(limit=limit, notice=None if answers else _NOT_IN_FORCE)


def _check_rate(rate: str) -> None:
    try:
        parse_rate(rate)
    except ValueError as error:
        raise InvalidInput(f"{error}") from None


async def _check_known(journal: Journal, agent: str) -> None:
    served = {name for worker in await living_workers(journal) for name in worker.agents}
    known = sorted({*AGENTS.names(), *served})
    if agent in known:
        return
    near = difflib.get_close_matches(agent, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise NotRegistered(
        f"No agent named {agent!r}, here or on a living worker. "
        f"Known: {', '.join(known) or 'none'}.{hint}"
    )
