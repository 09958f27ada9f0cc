"""A crash anywhere inside the flow primitives: what was committed stays, the result is the same."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envelope import Envelope, Failure
from envelope.ports.journal_rows import Run, RunState
from orchestrators.flow import (
    After,
    Cache,
    CircuitBreaker,
    Conditional,
    Fallback,
    Graph,
    Node,
    Parallel,
    Retry,
    Route,
    Router,
    Saga,
    Sequential,
    Switch,
    Timeout,
)
from tests.rig.engine_rig import checked_events, rigged
from tests.rig.flow_flows import (
    FAIL,
    always,
    leaf,
    registered,
    reset,
    run_with_deaths,
    settled_slots,
    texts,
    trail_of,
)

HOUR = 3_600.0
LEAVES = [f"leaf {number}" for number in range(6)]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    reset()
    yield
    reset()


def outcome(run: Run) -> list[str] | str:
    """The trail of a run that succeeded, the code of one that failed."""
    if run.state is RunState.SUCCEEDED:
        trail: list[str] = Envelope.from_json(run.envelope or "").records[0].data["trail"]
        return trail
    code = Failure.model_validate_json(run.failure or "").code
    assert code in {"TASK_EXECUTION_FAILED", "SAGA_FAILED", "CIRCUIT_OPEN"}, run.failure
    return code


async def executed(deaths: Sequence[tuple[int, bool]]) -> tuple[list[str] | str, int]:
    """What became of a run whose workers die, and how many steps it had."""
    async with rigged() as rig:
        run = await run_with_deaths(rig, {}, deaths)
        assert run.state in {RunState.SUCCEEDED, RunState.FAILED}, run
        checked_events(await rig.events(run.run_id))
        return outcome(run), len(await settled_slots(rig, run.run_id))


def tree(random: Random) -> Node:
    """A random tree of some size."""
    made = grown(random, 3)
    return made if 6 <= size(made) <= 40 else tree(random)


def size(node: Node) -> int:
    return 1 + sum(size(part.node) for part in node.parts)


def grown(random: Random, depth: int) -> Node:
    if depth == 0 or random.random() < 0.1:
        return leaf(random.choice(LEAVES), key=random.choice([None, f"key {random.random()}"]))
    return random.choice(GROW)(random, lambda: grown(random, depth - 1))


Twig = Callable[[], Node]


def _parallel(random: Random, twig: Twig) -> Node:
    limit = random.choice([None, None, 1, 2])
    on_error: Any = random.choice(["raise", "collect"])
    return Parallel(twig(), twig(), twig(), limit=limit, on_error=on_error)


def _saga(random: Random, twig: Twig) -> Node:
    undo = [leaf(random.choice(LEAVES)) if random.random() < 0.8 else None for _ in range(3)]
    return Saga(*((twig(), one) for one in undo))


GROW: list[Callable[[Random, Twig], Node]] = [
    _parallel,
    _saga,
    lambda _, twig: Sequential(twig(), twig()),
    lambda _, twig: Fallback(twig(), twig()),
    lambda _, twig: Retry(twig(), attempts=2, base_seconds=0),
    lambda _, twig: Timeout(twig(), HOUR),
    lambda _, twig: CircuitBreaker(twig(), name="random"),
    lambda _, twig: Conditional(is_even, twig(), twig()),
    lambda _, twig: Switch(length, {1: twig(), 2: twig()}, default=twig()),
    lambda _, twig: Router(
        Route(twig(), tier="fast", name="f"), Route(twig(), tier="quality", name="g")
    ),
    lambda _, twig: Graph({"one": twig(), "two": twig(), "three": After("one", "two", do=twig())}),
]


def length(value: Any) -> int:
    return len(trail_of(value))


def is_even(value: Any) -> bool:
    return length(value) % 2 == 0


NAMED: dict[str, Callable[[], Node]] = {
    "parallel": lambda: (leaf("a") | leaf("b") >> leaf("c") >> leaf("d")) >> leaf("e"),
    "parallel that fails": lambda: Fallback(leaf("a") >> leaf("b") | leaf("bad"), leaf("e")),
    "limited": lambda: Parallel(leaf("a"), leaf("b"), leaf("c"), limit=1) >> leaf("d"),
    "collected": lambda: Parallel(leaf("a"), leaf("bad"), on_error="collect") >> leaf("d"),
    "graph": lambda: (
        Graph(
            {
                "a": leaf("a"),
                "b": leaf("b"),
                "c": After("a", "b", do=leaf("c")),
                "d": After("a", do=leaf("d")),
            }
        )
        >> leaf("e")
    ),
    "conditional": lambda: leaf("a") >> Conditional(is_even, leaf("b"), leaf("c")) >> leaf("d"),
    "switch": lambda: leaf("a") >> Switch(length, {1: leaf("b") >> leaf("c")}) >> leaf("d"),
    "retry": lambda: Retry(leaf("a", key="k") >> leaf("flaky"), base_seconds=0) >> leaf("d"),
    "fallback": lambda: Fallback(leaf("bad", key="k"), leaf("b", key="k")) >> leaf("c", key="k"),
    "router": lambda: (
        Router(
            Route(leaf("a") >> leaf("bad"), tier="fast", name="f"),
            Route(leaf("b") >> leaf("c"), tier="balanced", name="b"),
            tier="fast",
        )
        >> leaf("d")
    ),
    "timeout": lambda: Timeout(leaf("a") >> leaf("b"), HOUR) >> leaf("c"),
    "breaker": lambda: CircuitBreaker(leaf("a") >> leaf("b")) >> leaf("c"),
    "cache": lambda: Cache(leaf("a")) >> Cache(leaf("b")) >> leaf("c"),
    "saga": lambda: Saga(*((leaf(x), leaf(f"un{x}")) for x in "abc"), name="s") >> leaf("d"),
    "saga that fails": lambda: Fallback(
        Saga(*((leaf(x), leaf(f"un{x}")) for x in ("a", "b", "bad"))), leaf("e")
    ),
    "saga not undone": lambda: Fallback(
        Saga((leaf("a"), leaf("bad")), (leaf("b"), leaf("unb")), (leaf("bad"), None)), leaf("e")
    ),
}


@pytest.mark.parametrize("after", [False, True], ids=["before a commit", "after a commit"])
@pytest.mark.parametrize("name", NAMED)
def test_a_crash_at_any_commit_changes_nothing(name: str, after: bool) -> None:
    def prepared() -> None:
        reset()
        FAIL.update(bad=always, flaky=lambda ctx: ctx.step.startswith("#1/"))
        registered(NAMED[name]())

    prepared()
    without, steps = asyncio.run(executed([]))
    assert isinstance(without, list)
    once = texts()
    for dies_at in range(1, steps + 2):
        prepared()
        assert asyncio.run(executed([(dies_at, after)]))[0] == without
        repeated = texts() - once
        assert sum(repeated.values()) <= 2, f"no more than what was under way: {repeated}"
        assert not once - texts()
        prepared()
        assert asyncio.run(executed([(dies_at, after), (1, not after)]))[0] == without


@settings(max_examples=150)
@given(
    shape=st.integers(0, 2**32),
    failing=st.sampled_from([0, 8, 5, 3]),
    deaths=st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=3),
)
def test_random_flows_end_as_without_a_crash(
    shape: int, failing: int, deaths: list[tuple[int, bool]]
) -> None:
    """Each step fails or not by its name alone: the same however often it is executed."""

    def fails(ctx: Any) -> bool:
        digest = hashlib.sha256(f"{shape} {ctx.step}".encode()).digest()
        return failing > 0 and digest[0] % failing == 0

    registered(tree(Random(shape)))
    reset()
    FAIL.update(dict.fromkeys(LEAVES, fails))
    without, steps = asyncio.run(executed([]))
    assert failing or isinstance(without, list)
    times = [(1 + at % (steps + 1), after) for at, after in deaths]
    assert asyncio.run(executed(times))[0] == without
