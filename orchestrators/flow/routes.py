"""The routes of a router, and which of them is the best now."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from orchestrators.flow.errors import InvalidFlow
from orchestrators.flow.node import Node, PlainFunction, as_node

Tier = Literal["fast", "balanced", "quality"]

# Where a tier has no route left: the nearest one, the cheaper first.
_ORDER: Final[Mapping[str, tuple[Tier, ...]]] = {
    "fast": ("fast", "balanced", "quality"),
    "balanced": ("balanced", "fast", "quality"),
    "quality": ("quality", "balanced", "fast"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a route costs, in US dollars.

    Attributes:
        per_call: For each call.
        per_1k_tokens: For a thousand tokens, in and out.
    """

    per_call: float = 0.0
    per_1k_tokens: float = 0.0

    def of(self, tokens: int) -> float:
        """Return the price of one call of so many tokens."""
        return self.per_call + self.per_1k_tokens * tokens / 1_000


class Route:
    """One way that a router may take.

    Args:
        node: What runs; a `CircuitBreaker` around it tells the route's health.
        tier: How good, and how dear, it is.
        price: What it costs.
        model: The model behind it, for records and drawings.
        name: By default the model, or else the node's title.

    Raises:
        InvalidFlow: There is no such tier, or the price is no price.
    """

    def __init__(
        self,
        node: Node | PlainFunction,
        *,
        tier: Tier,
        price: Price | None = None,
        model: str | None = None,
        name: str | None = None,
    ) -> None:
        self.node = as_node(node)
        self.tier = checked_tier(tier)
        self.price = price or Price()
        self.model = model
        self.name = name or model or self.node.title
        prices = (self.price.per_call, self.price.per_1k_tokens)
        if not all(0 <= price < math.inf for price in prices):
            raise InvalidFlow(f"Route {self.name!r}: prices are 0 or more, not {prices}.")


@dataclass(frozen=True, slots=True)
class Choice:
    """What a router decided.

    Attributes:
        route: The route's name; None where none is left.
        usd: Its expected price.
        passed_over: Why better ones were not taken, by name.
    """

    route: str | None
    usd: float
    passed_over: Mapping[str, str]


def checked_tier(tier: Tier) -> Tier:
    """Return the tier.

    Raises:
        InvalidFlow: There is no such tier.
    """
    if tier not in _ORDER:
        raise InvalidFlow(f"There is no tier {tier!r}. Tiers: {', '.join(_ORDER)}.")
    return tier


def ranked(routes: Collection[Route], tier: Tier, tokens: int) -> Sequence[Route]:
    """Return the routes, the best for this tier first: by nearness of tier, then by price."""
    order = _ORDER[tier]
    return sorted(routes, key=lambda route: (order.index(route.tier), route.price.of(tokens)))


def choose(
    best_first: Sequence[Route],
    *,
    tokens: int,
    usd_left: float | None,
    tried: Collection[str],
    unhealthy: Collection[str],
) -> Choice:
    """Return the best route that was not tried, is healthy and can be paid.

    Args:
        best_first: The routes as `ranked`.
        tokens: How many a call is expected to use.
        usd_left: What the run may still spend; None for any amount.
        tried: Routes that failed already.
        unhealthy: Routes whose breaker is open.
    """
    passed_over: dict[str, str] = {}
    for route in best_first:
        usd = route.price.of(tokens)
        if route.name in tried:
            passed_over[route.name] = "failed"
        elif route.name in unhealthy:
            passed_over[route.name] = "its circuit breaker is open"
        elif usd_left is not None and usd > usd_left:
            passed_over[route.name] = f"costs ${usd:.4g}, and ${usd_left:.4g} are left"
        else:
            return Choice(route.name, usd, passed_over)
    return Choice(None, 0.0, passed_over)
