"""Registers doubles for the time of a test and removes them again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import count
from typing import Any

from pydantic import BaseModel

from agents.definition import AgentDefinition
from agents.registry import AGENTS
from agents.retries import RetryPolicy
from agents.testing.calls import AgentCall
from agents.testing.double import AgentDouble, Answer, AnyRequest
from agents.testing.expecting import expect
from envelope.registry import check_name

_MANY = 1_000


class AgentDoubles:
    """The doubles of one test; `agent_doubles` makes it.

    Args:
        registered: Undoes the registrations at the end.
    """

    def __init__(self, registered: ExitStack) -> None:
        self._registered = registered
        self._count = count(1)
        self._doubles: list[AgentDouble] = []

    def add(
        self,
        name: str,
        return_value: Answer = (),
        *,
        side_effect: Any = None,
        model: type[BaseModel] | None = None,
        concurrency: int | None = None,
        timeout: float | None = None,
        retries: RetryPolicy | None = None,
    ) -> AgentDouble:
        """Register a double under `name`.

        Where an agent of that name is registered, the double keeps its input model, concurrency,
        time limit and retries; elsewhere it takes any JSON object.

        Args:
            name: The agent to stand in for.
            return_value: The answer of each call: a record or mapping, several of them, or an
                `Envelope`. By default an envelope without records.
            side_effect: An error to raise, a function of context and request that makes the answer
                (see `agents.testing.behaviours`), or an iterable of answers and errors, one a call.
            model: Another input model.
            concurrency: How many steps of it may run at once.
            timeout: Seconds an attempt may take.
            retries: When a failed attempt is repeated.
        """
        check_name(name, "agent")
        double = AgentDouble(name, self._count)
        double.return_value, double.side_effect = return_value, side_effect
        given: dict[str, Any] = {
            "model": model,
            "concurrency": concurrency,
            "timeout_seconds": timeout,
            "retries": retries,
        }
        changes = {field: value for field, value in given.items() if value is not None}
        known = AGENTS.get(name) if name in AGENTS else _unknown(double)
        definition = replace(known, function=double.run, rate=None, inline=True, **changes)
        self._registered.enter_context(AGENTS.standing_in(definition))
        self._doubles.append(double)
        return double

    def __getitem__(self, name: str) -> AgentDouble:
        """Return the double of that name, the last one where several were added."""
        return {double.name: double for double in self._doubles}[name]

    @property
    def calls(self) -> Sequence[AgentCall]:
        """The calls of all doubles in the order in which they began."""
        every = (call for double in self._doubles for call in double.calls)
        return sorted(every, key=lambda call: call.number)

    def assert_order(self, *names: str) -> None:
        """Fail if the agents were not called in this order; other calls may stand in between."""
        seen = [call.agent for call in self.calls]
        rest = iter(seen)
        fits = all(name in rest for name in names)
        expect(fits, f"The order {' > '.join(names)} was expected. Called: {' > '.join(seen)}.")

    def assert_only_called(self, *names: str) -> None:
        """Fail if another double was called, or one of these was not."""
        seen = {call.agent for call in self.calls}
        fits = seen == set(names)
        expect(fits, f"Only {sorted(names)} were expected. Called: {sorted(seen)}.")


@contextmanager
def agent_doubles() -> Iterator[AgentDoubles]:
    """Let agents be stood in for within the block; the registry is as before afterwards.

    Doubles run in the flow's own process, `inline`, and have no rate.

    Example:
        >>> with agent_doubles() as agents:
        ...     rag = agents.add("rag", [{"text": "The limit holds in the whole cluster."}])
        ...     made = asyncio.run(run_inline("brief", {"company": "Acme"}))
        ...     rag.assert_called_once_with(query="Acme")
    """
    with ExitStack() as registered:
        yield AgentDoubles(registered)


def _unknown(double: AgentDouble) -> AgentDefinition:
    return AgentDefinition(
        name=double.name,
        version=1,
        function=double.run,
        model=AnyRequest,
        concurrency=_MANY,
        rate=None,
        inline=True,
        timeout_seconds=None,
        retries=RetryPolicy(),
    )
