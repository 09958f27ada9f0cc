"""Flows put together from nodes, in process: what they return, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from envelope import Envelope
from envelope.errors import AlreadyRegistered, InvalidInput, Terminal
from envelope.failure import StepFailed
from orchestrators import flow_of, run_inline
from orchestrators.flow import (
    After,
    Cache,
    CircuitBreaker,
    CircuitPolicy,
    Conditional,
    CyclicGraph,
    Fallback,
    Function,
    Given,
    Graph,
    InvalidFlow,
    NoSuchCase,
    Parallel,
    Price,
    Retry,
    Route,
    Router,
    Saga,
    Sequential,
    Step,
    Switch,
    TimedOut,
    Timeout,
    UnknownDependency,
    cached,
    call,
)
from tests.rig.flow_flows import (
    DONE,
    FAIL,
    FLOW,
    GATES,
    Trail,
    always,
    leaf,
    registered,
    reset,
    texts,
    trail_of,
)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    reset()
    FAIL["bad"] = always
    yield
    reset()


def made_by(node: Any, **more: Any) -> list[str]:
    """The trail that a node makes."""
    registered(node)
    return trail_of(asyncio.run(run_inline(FLOW, {}, **more)))


async def plain(ctx: Any, value: Any) -> Any:
    """A plain function, which calls an agent."""
    return await ctx.call("flow-leaf", {"text": "plain", "trail": trail_of(value)})


class Adding:
    """An object that is as good as a function."""

    async def __call__(self, ctx: Any, value: Any) -> list[str]:
        return [*trail_of(value), "added"]


def test_nodes_follow_one_another() -> None:
    assert made_by(leaf("a") >> leaf("b") >> leaf("c")) == ["a", "b", "c"]
    assert len((leaf("a") >> (leaf("b") >> leaf("c"))).nodes) == 3


def test_plain_functions_are_nodes() -> None:
    assert made_by(leaf("a") >> plain >> Adding()) == ["a", "plain", "added"]
    assert made_by(plain >> leaf("b")) == ["plain", "b"]
    assert made_by((plain | leaf("b")) >> leaf("c")) == ["plain", "b", "c"]
    assert made_by(Sequential(plain)) == ["plain"]


def test_branches_get_the_same_value_and_keep_their_order() -> None:
    async def slow_first(ctx: Any, value: Any) -> Any:
        await asyncio.sleep(0.01)
        return await leaf("first")(ctx, value)

    node = leaf("a") >> (Function(slow_first) | leaf("second") | leaf("third")) >> leaf("end")
    assert made_by(node) == ["a", "first", "a", "second", "a", "third", "end"]
    assert len((leaf("a") | leaf("b") | leaf("c")).nodes) == 3
    assert len((Parallel(leaf("a"), leaf("b"), limit=1) | leaf("c")).nodes) == 2


def test_names_of_steps_tell_the_place_and_not_the_time() -> None:
    made_by((leaf("a") | leaf("b") >> leaf("c", key="see")) >> leaf("d"))
    assert dict(DONE) == {
        "a": "#1/0/0/#1",
        "b": "#1/0/1/#1",
        "c": "#1/0/1/see",
        "d": "#2",
    }


def test_the_first_failure_cancels_the_others() -> None:
    ended: list[str] = []

    async def waiting(ctx: Any, value: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waiting")

    with pytest.raises(StepFailed, match="bad fails"):
        made_by(Parallel(waiting, leaf("bad"), leaf("b") >> leaf("bad")))
    assert ended == ["waiting"]


def test_failures_are_collected_where_they_are_wanted() -> None:
    async def raising(ctx: Any, value: Any) -> Any:
        raise ValueError("no step at all")

    seen: list[Envelope] = []

    async def see(ctx: Any, value: list[Envelope]) -> list[Envelope]:
        seen.extend(value)
        return value

    node = Parallel(leaf("a"), leaf("bad"), raising, on_error="collect") >> Function(see)
    assert made_by(node) == ["a", "error", "error"]
    assert [envelope.error.code for envelope in seen[1:] if envelope.error] == [
        "TASK_EXECUTION_FAILED",
        "TASK_EXECUTION_FAILED",
    ]


def test_a_condition_takes_one_way() -> None:
    def long_enough(value: Any) -> bool:
        return len(trail_of(value)) > 1

    way = Conditional(long_enough, leaf("yes"), leaf("no"))
    assert made_by(leaf("a") >> way) == ["a", "no"]
    assert made_by(leaf("a") >> leaf("b") >> way) == ["a", "b", "yes"]
    assert made_by(leaf("a") >> Conditional(long_enough, leaf("yes"))) == ["a"]


def test_a_switch_takes_the_case_or_the_default() -> None:
    def last(value: Any) -> str:
        return trail_of(value)[-1]

    switch = Switch(last, {"a": leaf("of a"), "b": leaf("of b")})
    assert made_by(leaf("b") >> switch) == ["b", "of b"]
    with pytest.raises(NoSuchCase, match=r"'last' has no case 'c'.*Cases: 'a', 'b'"):
        made_by(leaf("c") >> switch)
    other = Switch(last, {"a": leaf("of a")}, default=leaf("else"))
    assert made_by(leaf("c") >> other) == ["c", "else"]


def test_a_graph_passes_outputs_on_and_runs_the_independent_at_once() -> None:
    given: list[Given] = []

    async def join(ctx: Any, value: Given) -> list[str]:
        given.append(value)
        return [*trail_of(value["left"]), *trail_of(value["right"])]

    node = Graph(
        {
            "end": After("left", "right", do=join),
            "left": leaf("gate left"),
            "right": After("start", do=leaf("right")),
            "start": leaf("start"),
        },
        result="end",
    )
    registered(node)

    async def body() -> list[str]:
        running = asyncio.create_task(run_inline(FLOW, {"trail": ["given"]}))
        while not texts()["right"]:
            await asyncio.sleep(0)
        GATES["gate left"].set()
        return trail_of(await running)

    left, right = ["given", "gate left"], ["given", "start", "right"]
    assert asyncio.run(body()) == [*left, *right]
    assert given[0].value.trail == ["given"]
    assert sorted(given[0]) == ["left", "right"]
    assert dict(DONE)["right"] == "#1/0/right/#1"


def test_a_graph_without_a_result_returns_all_outputs() -> None:
    registered(Graph({"a": leaf("a"), "b": leaf("b")}) >> Function(_keys))
    assert trail_of(asyncio.run(run_inline(FLOW, {}))) == ["a", "b"]


async def _keys(ctx: Any, value: dict[str, Any]) -> list[str]:
    return list(value)


def test_a_failure_in_a_graph_ends_the_others() -> None:
    with pytest.raises(StepFailed, match="bad fails"):
        made_by(Graph({"a": leaf("gate"), "b": leaf("bad"), "c": After("b", do=leaf("c"))}))
    assert texts()["c"] == 0


def test_retries_double_their_wait_up_to_the_cap() -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    with pytest.raises(StepFailed):
        made_by(Retry(leaf("bad"), attempts=8, base_seconds=1, cap_seconds=10), sleep=note)
    assert texts()["bad"] == 8
    for wait, step in zip(waits, [1, 2, 4, 8, 10, 10, 10], strict=True):
        assert step / 2 <= wait <= step


@pytest.mark.parametrize(
    ("asked", "waited"), [(7.5, 7.5), (1e9, 3_600.0), (0, 0.0), (float("nan"), None), (-1, None)]
)
def test_a_server_s_retry_after_is_obeyed(asked: float, waited: float | None) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    class Busy(Exception):
        retry_after = asked

    async def busy(ctx: Any, value: Any) -> Any:
        if not waits:
            raise Busy
        return value

    made_by(leaf("a") >> Retry(busy, base_seconds=0.5, cap_seconds=0.5), sleep=note)
    assert waits == [waited] if waited is not None else 0.25 <= waits[0] <= 0.5


@pytest.mark.parametrize(
    ("on", "tried"),
    [
        ("TASK_EXECUTION_FAILED", 3),
        ("OTHER", 1),
        (StepFailed, 3),
        ((KeyError, "TASK_EXECUTION_FAILED"), 3),
        (lambda error: "bad" in str(error), 3),
        (lambda error: False, 1),
    ],
)
def test_a_filter_says_what_is_worth_another_attempt(on: Any, tried: int) -> None:
    with pytest.raises(StepFailed):
        made_by(Retry(leaf("bad"), attempts=3, base_seconds=0, on=on))
    assert texts()["bad"] == tried


def test_what_cannot_get_better_is_not_tried_again() -> None:
    wrong = Step("flow-leaf", request=lambda value: {"text": 5})
    with pytest.raises(InvalidInput):
        made_by(Retry(wrong, attempts=3))
    with pytest.raises(InvalidInput):
        made_by(Fallback(wrong, leaf("other")))
    assert texts()["other"] == 0


def test_the_next_way_is_taken_when_one_fails() -> None:
    assert made_by(Fallback(leaf("a") >> leaf("bad"), leaf("b"))) == ["b"]
    with pytest.raises(StepFailed, match="bad fails"):
        made_by(Fallback(leaf("bad"), leaf("bad")))
    with pytest.raises(StepFailed):
        made_by(Fallback(leaf("bad"), leaf("b"), on="OTHER"))


def test_a_node_that_is_late_is_cancelled() -> None:
    ended: list[str] = []

    async def waiting(ctx: Any, value: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waiting")

    with pytest.raises(TimedOut, match=r"'waiting' was not done within 0\.01 s"):
        made_by(Timeout(waiting, 0.01))
    assert ended == ["waiting"]
    assert made_by(Timeout(leaf("a"), 60)) == ["a"]
    with pytest.raises(StepFailed):
        made_by(Timeout(leaf("bad"), 60))


def test_a_saga_that_is_late_is_undone_first() -> None:
    with pytest.raises(TimedOut):
        made_by(Timeout(Saga((leaf("a"), leaf("una")), (leaf("gate"), leaf("ungate"))), 0.05))
    assert [text for text, _ in DONE] == ["a", "gate", "ungate", "una"]


def test_a_flow_is_registered_once() -> None:
    flow_of("flow-once", leaf("a"), model=Trail)
    flow_of("flow-once", leaf("b"), model=Trail)  # the module was imported again
    function = flow_of("flow-once", leaf("c"), model=Trail, version=2)
    made = asyncio.run(run_inline(function, {}))
    assert made.records[0].data["trail"] == ["c"]
    with pytest.raises(AlreadyRegistered):
        exec(  # noqa: S102 - another module
            "flow_of('flow-once', node, model=model)",
            {"flow_of": flow_of, "node": leaf("x"), "model": Trail, "__name__": "elsewhere"},
        )


def test_a_value_that_is_no_input_is_explained() -> None:
    with pytest.raises(InvalidInput, match=r"Step 'see' has Envelope .* request=lambda value"):
        made_by(leaf("a") >> Step("flow-leaf", key="see"))


async def three(a: Any, b: Any, c: Any) -> None: ...


def sync(ctx: Any, value: Any) -> None: ...


@pytest.mark.parametrize(
    ("build", "error", "said"),
    [
        (Sequential, InvalidFlow, "at least one node"),
        (Parallel, InvalidFlow, "at least one node"),
        (lambda: Parallel(leaf("a"), limit=0), InvalidFlow, "at least 1, not 0"),
        (lambda: Parallel(leaf("a"), on_error="ignore"), InvalidFlow, "not 'ignore'"),
        (lambda: leaf("a") >> "b", InvalidFlow, "'b' is no part of a flow"),
        (lambda: leaf("a") | sync, InvalidFlow, "write it as `async def"),
        (lambda: Function(three), InvalidFlow, "other parameters"),
        (lambda: Step("no such name!"), InvalidFlow, "letters, digits"),
        (lambda: call("flow-leaf", request="x"), InvalidFlow, "request= takes a function"),
        (lambda: Fallback(leaf("a")), InvalidFlow, "another one for when it fails"),
        (lambda: Fallback(leaf("a"), leaf("b"), on=5), InvalidFlow, "5 is no filter"),
        (lambda: Retry(leaf("a"), attempts=0), InvalidFlow, "at least 1 attempt"),
        (lambda: Retry(leaf("a"), base_seconds=9, cap_seconds=1), InvalidFlow, "from 9 up to 1"),
        (lambda: Timeout(leaf("a"), 0), InvalidFlow, "above 0, not 0"),
        (lambda: Timeout(leaf("a"), float("nan")), InvalidFlow, "above 0"),
        (lambda: Conditional(three, leaf("a")), InvalidFlow, "plain function of the value"),
        (lambda: Switch(len, {}), InvalidFlow, "at least one case"),
        (lambda: Graph({}), InvalidFlow, "at least one step"),
        (lambda: Graph({"a": leaf("a")}, limit=0), InvalidFlow, "at least 1"),
        (
            lambda: Graph({"fact": leaf("a"), "b": After("facts", do=leaf("b"))}),
            UnknownDependency,
            "'b' depends on 'facts'.*Did you mean 'fact'",
        ),
        (lambda: Graph({"a": leaf("a")}, result="b"), UnknownDependency, "result is 'b'"),
        (
            lambda: Graph({"a": After("b", do=leaf("a")), "b": After("a", do=leaf("b"))}),
            CyclicGraph,
            "'a' → 'b' → 'a'|'b' → 'a' → 'b'",
        ),
        (lambda: Graph({"a": After("a", do=leaf("a"))}), CyclicGraph, "'a' → 'a'"),
        (Saga, InvalidFlow, "at least one pair"),
        (lambda: Saga(leaf("a")), InvalidFlow, r"takes pairs \(action, compensation\)"),
        (Router, InvalidFlow, "at least one Route"),
        (lambda: Route(leaf("a"), tier="best"), InvalidFlow, "no tier 'best'. Tiers: fast"),
        (
            lambda: Route(leaf("a"), tier="fast", price=Price(per_call=-1)),
            InvalidFlow,
            "prices are 0 or more",
        ),
        (
            lambda: Router(Route(leaf("a"), tier="fast"), Route(leaf("b"), tier="fast")),
            InvalidFlow,
            "Two routes have one name",
        ),
        (lambda: Router(Route(leaf("a"), tier="fast"), tier="x"), InvalidFlow, "no tier 'x'"),
        (lambda: CircuitBreaker(leaf("a"), name=""), InvalidFlow, "needs a name"),
        (lambda: CircuitPolicy(failures=0), InvalidFlow, "at least 1"),
        (lambda: CircuitPolicy(open_seconds=float("inf")), InvalidFlow, "above 0"),
        (lambda: Cache(Retry(leaf("a"))), InvalidFlow, "answers of a Step"),
        (lambda: Cache(leaf("a"), max_size=0), InvalidFlow, "at least 1 value"),
        (lambda: Cache(leaf("a"), ttl=0), InvalidFlow, "above 0"),
        (lambda: Cache(leaf("a"), among="all"), InvalidFlow, "'everybody', not 'all'"),
        (lambda: Cache(leaf("a"), patience=0), InvalidFlow, "patience="),
        (lambda: cached()(sync), InvalidFlow, "answers of `async def`"),
        (lambda: flow_of("no!", leaf("a"), model=Trail), InvalidFlow, "letters, digits"),
        (lambda: flow_of("flow-x", leaf("a"), model=dict), InvalidFlow, "pydantic model"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_built(
    build: Callable[[], Any], error: type[Terminal], said: str
) -> None:
    with pytest.raises(error, match=said) as caught:
        build()
    assert type(caught.value) is error
