"""The agents of this process, and the decorator that adds one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from agents.definition import AgentDefinition
from agents.rates import parse_rate
from agents.retries import RetryPolicy
from envelope.registry import Registry, check_name
from envelope.signature import input_model

F = TypeVar("F", bound=Callable[..., Any])


class AgentRegistry(Registry[AgentDefinition]):
    """The registry of agents, in which one can be stood in for."""

    @contextmanager
    def standing_in(self, definition: AgentDefinition) -> Iterator[AgentDefinition]:
        """Let `definition` be the only agent of its name for the time of a `with` block.

        What was registered under the name before, in any version, is back after the block.
        """
        before = self._held.get(definition.name)
        self._held[definition.name] = {definition.version: definition}
        try:
            yield definition
        finally:
            if before is None:
                del self._held[definition.name]
            else:
                self._held[definition.name] = before


AGENTS = AgentRegistry("agent")


def agent(
    name: str,
    *,
    version: int = 1,
    concurrency: int = 8,
    rate: str | None = None,
    inline: bool = False,
    timeout: float | None = None,
    retries: RetryPolicy | None = None,
) -> Callable[[F], F]:
    """Register the decorated function as an agent; the function itself stays as it is.

    Args:
        name: Letters, digits, `_` and `-`.
        version: From 1.
        concurrency: How many steps of it may run at once.
        rate: Attempts per time in the whole cluster, such as `500/min` or `10/s burst 30`.
        inline: Run light agents in the run's own process.
        timeout: Seconds an attempt may take.
        retries: When a failed attempt is repeated; by default three attempts for errors that are
            `Retryable`, connection errors and time-outs.

    Raises:
        TypeError: The function has not the shape `(ctx, request: SomeModel) -> Envelope`.
        ValueError: An argument is out of range, or `rate` is not written as a rate.
        AlreadyRegistered: The name and version are taken.

    Example:
        >>> @agent("shout", inline=True)
        ... def shout(ctx, request: Words) -> Envelope:
        ...     return Envelope.from_records([{"text": request.text.upper()}], source="shout")
    """
    check_name(name, "agent")
    if concurrency < 1:
        raise ValueError(f"agent {name!r}: concurrency must be at least 1, not {concurrency}")
    _check_rate(name, rate)

    def register(function: F) -> F:
        AGENTS.add(
            AgentDefinition(
                name=name,
                version=version,
                function=function,
                model=input_model(function, "agent"),
                concurrency=concurrency,
                rate=rate,
                inline=inline,
                timeout_seconds=timeout,
                retries=retries or RetryPolicy(),
            )
        )
        return function

    return register


def _check_rate(name: str, rate: str | None) -> None:
    try:
        if rate is not None:
            parse_rate(rate)
    except ValueError as problem:
        raise ValueError(f"agent {name!r}: {problem}") from None
