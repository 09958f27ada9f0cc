"""One of several ways of doing the same, by tier, price, budget and health."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from envelope.errors import NotRegistered
from envelope.ports.context import RunContext
from orchestrators.flow.breaker import CircuitBreaker
from orchestrators.flow.circuit import CircuitState
from orchestrators.flow.errors import InvalidFlow, NoRoute
from orchestrators.flow.failures import Filters, checked_filters, handles, may_pass
from orchestrators.flow.layout import Layout, Part
from orchestrators.flow.node import Node, calling
from orchestrators.flow.places import apart
from orchestrators.flow.routes import Choice, Route, Tier, checked_tier, choose, ranked


class MoneyLeft(Protocol):
    """What tells a router how much a run may still spend. A process may provide it."""

    async def usd_left(self, run_id: str) -> float | None:
        """Return what is left of the run's budget in US dollars; None where it has none."""


class Router(Node):
    """The best route for the tier that is asked for; the next best where it fails.

    The best is of the nearest tier, then the cheapest; one whose circuit breaker is open, or that
    costs more than the run has left, is passed over. Each choice is recorded: a replay takes the
    same routes, whatever has become of health and budget since.

    Args:
        routes: At least one, with names of their own.
        tier: The tier, or a pure function of the value that returns it.
        tokens: How many tokens a call is expected to use, or a pure function of the value.
        on: Which failures the next route makes good; by default all but those that no other way
            can mend, such as wrong input.

    Raises:
        InvalidFlow: There is no route, two have one name, there is no such tier, or `on` is no
            filter.
    """

    layout = Layout.CHOICE

    def __init__(
        self,
        *routes: Route,
        tier: Tier | Callable[[Any], Tier] = "balanced",
        tokens: int | Callable[[Any], int] = 1_000,
        on: Filters = may_pass,
    ) -> None:
        if not routes:
            raise InvalidFlow("A Router needs at least one Route.")
        self.routes = {route.name: route for route in routes}
        if len(self.routes) < len(routes):
            names = ", ".join(route.name for route in routes)
            raise InvalidFlow(f"Two routes have one name ({names}). Give them names: name=….")
        self._tier = tier if callable(tier) else checked_tier(tier)
        self._tokens = tokens
        self._on = checked_filters(on, "Router")

    @property
    def label(self) -> str:
        """The tier, where it is always the same."""
        return "by tier" if callable(self._tier) else f"tier {self._tier}"

    @property
    def parts(self) -> Sequence[Part]:
        """The routes."""
        return [
            Part(node=route.node, label=f"{route.tier}: {route.name}")
            for route in self.routes.values()
        ]

    async def __call__(self, ctx: RunContext, value: Any) -> Any:
        """Return what the first route that succeeds returns; raise what the last one raised.

        Raises:
            NoRoute: Every route was passed over.
        """
        failures: dict[str, Exception] = {}
        while True:
            chosen = Choice(**await ctx.once(self._choosing(ctx, value, tuple(failures))))
            if chosen.route is None:
                raise _nothing_left(chosen, failures)
            route = self.routes[chosen.route]
            ctx.emit("route.chosen", tier=route.tier, model=route.model, **asdict(chosen))
            try:
                return await apart(ctx, calling(route.node, ctx, value))
            except Exception as error:
                if not handles(self._on, error):
                    raise
                failures[route.name] = error

    def _choosing(self, ctx: RunContext, value: Any, tried: tuple[str, ...]) -> Callable[[], Any]:
        async def make() -> dict[str, Any]:
            tier = checked_tier(self._tier(value)) if callable(self._tier) else self._tier
            tokens = self._tokens(value) if callable(self._tokens) else self._tokens
            unhealthy = [route.name for route in self.routes.values() if await _is_open(ctx, route)]
            choice = choose(
                ranked(self.routes.values(), tier, tokens),
                tokens=tokens,
                usd_left=await _usd_left(ctx),
                tried=tried,
                unhealthy=unhealthy,
            )
            return asdict(choice)

        return make


def _nothing_left(chosen: Choice, failures: dict[str, Exception]) -> Exception:
    """The last failure where there was one; else what was the matter with each route."""
    if failures:
        return list(failures.values())[-1]
    why = "; ".join(f"{name}: {reason}" for name, reason in chosen.passed_over.items())
    return NoRoute(f"No route is left. {why}.")


async def _is_open(ctx: RunContext, route: Route) -> bool:
    breaker = route.node
    return isinstance(breaker, CircuitBreaker) and await breaker.state(ctx) is CircuitState.OPEN


async def _usd_left(ctx: RunContext) -> float | None:
    try:
        money = ctx.resource(MoneyLeft)  # type: ignore[type-abstract] # provided under its port
    except NotRegistered:
        return None
    return await money.usd_left(ctx.run_id)
