"""Which route a router takes, and how breakers open and close in runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from envelope.errors import InvalidInput, QueueUnavailable
from envelope.failure import StepFailed
from envelope.ports.shared import SharedStore
from envelope.resources import Resources
from orchestrators import run_inline
from orchestrators.flow import (
    CircuitBreaker,
    CircuitOpen,
    CircuitPolicy,
    InvalidFlow,
    MoneyLeft,
    NoRoute,
    Price,
    Retry,
    Route,
    Router,
    Step,
)
from orchestrators.flow.circuit import Circuit
from orchestrators.flow.routes import choose, ranked
from tests.rig.flow_flows import FAIL, FLOW, always, leaf, registered, reset, texts, trail_of
from worker.coordination.shared.in_process import InProcessShared


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    reset()
    FAIL["bad"] = always
    yield
    reset()


def made(**more: Any) -> list[str]:
    return trail_of(asyncio.run(run_inline(FLOW, {}, **more)))


def route(name: str, tier: Any, per_call: float = 0.0, per_1k_tokens: float = 0.0) -> Route:
    price = Price(per_call=per_call, per_1k_tokens=per_1k_tokens)
    return Route(leaf(name), tier=tier, name=name, price=price)


ROUTES = [
    route("dear and good", "quality", per_1k_tokens=0.06),
    route("good", "quality", per_1k_tokens=0.03),
    route("fair", "balanced", per_1k_tokens=0.01),
    route("flat", "balanced", per_call=0.02),
    route("quick", "fast", per_1k_tokens=0.001),
]


@pytest.mark.parametrize(
    ("tier", "tokens", "order"),
    [
        ("quality", 1_000, ["good", "dear and good", "fair", "flat", "quick"]),
        ("balanced", 1_000, ["fair", "flat", "quick", "good", "dear and good"]),
        ("balanced", 5_000, ["flat", "fair", "quick", "good", "dear and good"]),
        ("fast", 1_000, ["quick", "fair", "flat", "good", "dear and good"]),
    ],
)
def test_the_nearest_tier_goes_first_and_then_the_price(
    tier: Any, tokens: int, order: list[str]
) -> None:
    assert [one.name for one in ranked(ROUTES, tier, tokens)] == order


def test_a_choice_says_what_it_passed_over_and_why() -> None:
    choice = choose(
        ranked(ROUTES, "quality", 1_000),
        tokens=1_000,
        usd_left=0.02,
        tried=["fair"],
        unhealthy=["flat"],
    )
    assert (choice.route, choice.usd) == ("quick", 0.001)
    assert choice.passed_over == {
        "good": "costs $0.03, and $0.02 are left",
        "dear and good": "costs $0.06, and $0.02 are left",
        "fair": "failed",
        "flat": "its circuit breaker is open",
    }


def test_tier_and_tokens_may_depend_on_the_value() -> None:
    router = Router(
        *ROUTES,
        tier=lambda value: "quality" if "important" in trail_of(value) else "balanced",
        tokens=lambda value: 10_000 * len(trail_of(value)),
    )
    registered(leaf("important") >> router)
    assert made() == ["important", "good"]
    registered(leaf("other") >> router)
    assert made() == ["other", "flat"]
    registered(Router(*ROUTES, tier=lambda _: "best"))  # type: ignore[arg-type,return-value]
    with pytest.raises(InvalidFlow, match="no tier 'best'"):
        made()


def test_the_next_best_route_makes_a_failure_good() -> None:
    told: list[Any] = []
    registered(Router(route("bad", "fast"), route("b", "balanced"), tier="fast"))
    assert made(on_event=lambda event, data: told.append((event, data["route"]))) == ["b"]
    assert told == [("route.chosen", "bad"), ("route.chosen", "b")]
    registered(Router(route("bad", "fast"), route("b", "balanced"), tier="fast", on="OTHER"))
    with pytest.raises(StepFailed):
        made()
    registered(Router(route("bad", "fast")))
    with pytest.raises(StepFailed, match="bad fails"):
        made()


class Purse:
    async def usd_left(self, run_id: str) -> float:
        return 0.005


def test_a_route_that_the_run_cannot_pay_is_passed_over() -> None:
    resources = Resources()
    resources.provide(MoneyLeft, Purse)  # type: ignore[type-abstract]
    registered(Router(*ROUTES, tier="quality"))
    assert made(resources=resources) == ["quick"]
    assert made() == ["good"]
    registered(Router(*ROUTES[:2], tier="quality"))
    with pytest.raises(NoRoute, match=r"good: costs \$0\.03, and \$0\.005 are left"):
        made(resources=resources)
    assert texts()["good"] == 1


def test_a_route_whose_breaker_is_open_is_passed_over() -> None:
    sick = CircuitBreaker(leaf("bad"), name="sick", policy=CircuitPolicy(failures=2))
    registered(Router(Route(sick, tier="fast", name="sick"), route("well", "quality"), tier="fast"))
    for _ in range(4):
        assert made() == ["well"]
    assert texts() == {"bad": 2, "well": 4}


def test_a_breaker_keeps_to_itself_where_nothing_is_shared() -> None:
    breaker = CircuitBreaker(
        leaf("flaky"), policy=CircuitPolicy(failures=2, open_seconds=0.05, trials=1)
    )
    FAIL["flaky"] = always
    registered(breaker)
    for _ in range(2):
        with pytest.raises(StepFailed):
            made()
    with pytest.raises(CircuitOpen, match=r"'flow-leaf' is open.*within 0\.05 s") as caught:
        made()
    assert caught.value.retry_after == 0.05
    FAIL.clear()
    registered(Retry(breaker, attempts=3, base_seconds=0))
    assert made() == ["flaky"], "the retry obeys the breaker, whose trial succeeds"
    registered(breaker)
    assert made() == ["flaky"]


def test_a_caller_s_own_fault_does_not_count() -> None:
    wrong = Step("flow-leaf", request=lambda _: {"text": 5})
    breaker = CircuitBreaker(wrong, policy=CircuitPolicy(failures=1))
    registered(breaker)
    for _ in range(3):
        with pytest.raises(InvalidInput):
            made()


def test_breakers_of_one_name_are_one_and_pass_everything_while_the_store_is_away() -> None:
    class Shaky(InProcessShared):
        away = False

        async def get(self, key: str) -> str | None:
            if self.away:
                raise QueueUnavailable("away")
            return await super().get(key)

    store, resources = Shaky(), Resources()
    resources.provide(SharedStore, lambda: store)  # type: ignore[type-abstract]
    circuit = Circuit(store, "shared", CircuitPolicy(failures=1))
    asyncio.run(_trip(circuit))
    registered(CircuitBreaker(leaf("a"), name="shared"))
    with pytest.raises(CircuitOpen):
        made(resources=resources)
    store.away = True
    assert made(resources=resources) == ["a"]


async def _trip(circuit: Circuit) -> None:
    assert await circuit.failed(await circuit.ask())
