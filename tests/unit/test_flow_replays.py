"""What a flow primitive decided stays decided, whatever has changed when it is replayed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from envelope import Failure
from envelope.failure import StepFailed
from envelope.ports.journal_rows import RunState
from envelope.ports.shared import SharedStore
from orchestrators.flow import (
    CircuitBreaker,
    CircuitPolicy,
    CircuitState,
    Fallback,
    MoneyLeft,
    Node,
    Parallel,
    Price,
    Retry,
    Route,
    Router,
    Sequential,
    TimedOut,
    Timeout,
)
from orchestrators.flow.circuit import Circuit
from tests.rig.engine_rig import Rig, checked_events, rigged
from tests.rig.flow_flows import (
    FAIL,
    FLOW,
    GATES,
    always,
    bury,
    leaf,
    patient,
    registered,
    reset,
    taken_over,
    texts,
    trail_of_run,
    under_way,
    until_done,
    until_state,
)
from worker.coordination.shared.in_process import InProcessShared

HOUR = 3_600.0


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    reset()
    FAIL["bad"] = always
    yield
    reset()


def run(body: Callable[[Rig], Awaitable[None]], *, patience: bool = True) -> None:
    async def go() -> None:
        async with rigged() as rig:
            if patience:
                patient(rig, "a", "b", "c")
            await body(rig)

    asyncio.run(go())


def telling(node: Node) -> Callable[[Any, Any], Awaitable[list[str]]]:
    """Say how a node failed."""

    async def tell(ctx: Any, value: Any) -> list[str]:
        try:
            await node(ctx, value)
        except (StepFailed, TimedOut) as error:
            text = error.failure.message if isinstance(error, StepFailed) else type(error).__name__
            return [text]
        return ["no failure"]

    return tell


def test_the_failure_that_was_first_stays_the_first() -> None:
    """In the replay the second branch fails long before the recorded failure is met again."""

    async def body(rig: Rig) -> None:
        late = Sequential(*(leaf(f"a{number}") for number in range(20)), leaf("bad"))
        registered(Sequential(telling(late | leaf("gate")), leaf("gate end")))
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id):
            await until_done(rig, "gate end")
            FAIL["gate"] = always
            GATES["gate"].set()
            GATES["gate end"].set()
            done = await taken_over(rig, run_id)
        assert texts()["gate"] == 2
        assert trail_of_run(done) == ["ValueError: bad fails", "gate end"]

    run(body)


def test_a_node_that_was_in_time_stays_so_after_its_deadline() -> None:
    async def body(rig: Rig) -> None:
        registered(Timeout(leaf("a") >> leaf("b"), 60) >> leaf("gate"))
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id):
            await until_done(rig, "gate")
            rig.time.advance(HOUR)
            GATES["gate"].set()
            done = await taken_over(rig, run_id)
        assert trail_of_run(done) == ["a", "b", "gate"]
        assert texts() == {"a": 1, "b": 1, "gate": 2}

    run(body)


def test_a_deadline_goes_on_while_nobody_has_the_run() -> None:
    async def body(rig: Rig) -> None:
        registered(Sequential(telling(Timeout(leaf("a") >> leaf("gate"), HOUR)), leaf("gate end")))
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id):
            await until_done(rig, "gate")
            await bury(rig, "a")
            rig.time.advance(HOUR)
            await rig.worker("b").lease.take()
            async with under_way(rig, run_id, "b"):
                await until_done(rig, "gate end")
                GATES["gate"].set()
                GATES["gate end"].set()
                done = await taken_over(rig, run_id, "b", "c")
        assert trail_of_run(done) == ["TimedOut", "gate end"]
        assert texts()["a"] == 1

    run(body)


def test_a_retry_waits_for_a_night_without_a_worker_and_goes_on_after_a_loss() -> None:
    async def body(rig: Rig) -> None:
        FAIL["flaky"] = lambda ctx: ctx.step.startswith("#1/")
        registered(Retry(leaf("a") >> leaf("flaky"), base_seconds=HOUR, cap_seconds=HOUR))
        run_id = await rig.accept(FLOW, {})
        assert await rig.execute(run_id) is RunState.WAITING
        told = json.loads((await rig.events(run_id))[-1].data)
        assert HOUR / 2 - 5 <= told["until"] - rig.time.now <= HOUR + 5
        rig.time.advance(HOUR / 4)
        await rig.worker("b").lease.take()
        await rig.worker("b").reconciler.round()
        await until_state(rig, run_id, RunState.WAITING)
        rig.consumer = "b"
        rig.time.advance(HOUR)
        await rig.worker("b").lease.take()
        await rig.worker("b").reconciler.round()
        done = await rig.until_ended(run_id)
        assert trail_of_run(done) == ["a", "flaky"]
        assert texts() == {"a": 2, "flaky": 2}
        steps = await rig.steps(run_id)
        assert {"#1/0/#1", "#1/0/#2", "#2/0/#1", "#2/0/#2"} <= steps.keys()

    run(body, patience=False)


def test_a_replay_takes_the_route_that_was_chosen() -> None:
    """Meanwhile the breaker of the first route has closed, and money has come in."""

    class Purse:
        left = 0.5

        async def usd_left(self, run_id: str) -> float:
            return self.left

    async def body(rig: Rig) -> None:
        store = InProcessShared()
        for name in "ab":
            resources = rig.worker(name).parts.resources
            resources.provide(SharedStore, lambda: store)  # type: ignore[type-abstract]
            resources.provide(MoneyLeft, Purse)  # type: ignore[type-abstract]
        circuit = Circuit(store, "sick", CircuitPolicy(failures=1))
        assert await circuit.failed(await circuit.ask())
        registered(
            Router(
                Route(CircuitBreaker(leaf("sick"), name="sick"), tier="fast", name="sick"),
                Route(leaf("dear"), tier="fast", name="dear", price=Price(per_call=1)),
                Route(leaf("bad"), tier="balanced", name="bad"),
                Route(leaf("gate"), tier="quality", name="good"),
                tier="fast",
            )
        )
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id):
            await until_done(rig, "gate")
            await store.aclose()
            Purse.left = 100.0
            GATES["gate"].set()
            done = await taken_over(rig, run_id)
        assert trail_of_run(done) == ["gate"]
        assert texts() == {"bad": 1, "gate": 2}
        kinds = checked_events(await rig.events(run_id))
        assert kinds.count("route.chosen") == 2

    run(body)


def test_a_replay_passes_a_breaker_that_has_opened_since() -> None:
    async def body(rig: Rig) -> None:
        store = InProcessShared()
        for name in "ab":
            rig.worker(name).parts.resources.provide(SharedStore, lambda: store)  # type: ignore[type-abstract]
        policy = CircuitPolicy(failures=1)
        registered(CircuitBreaker(leaf("a") >> leaf("gate"), name="b", policy=policy))
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id):
            await until_done(rig, "gate")
            circuit = Circuit(store, "b", policy)
            assert await circuit.failed(await circuit.ask())
            GATES["gate"].set()
            done = await taken_over(rig, run_id)
        assert trail_of_run(done) == ["a", "gate"]
        assert texts()["a"] == 1

    run(body)


def test_a_replayed_failure_is_not_counted_again() -> None:
    async def body(rig: Rig) -> None:
        store, policy = InProcessShared(), CircuitPolicy(failures=2)
        for name in "ab":
            rig.worker(name).parts.resources.provide(SharedStore, lambda: store)  # type: ignore[type-abstract]
        registered(Fallback(CircuitBreaker(leaf("bad"), name="b", policy=policy), leaf("gate")))
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id):
            await until_done(rig, "gate")
            GATES["gate"].set()
            done = await taken_over(rig, run_id)
        assert trail_of_run(done) == ["gate"]
        circuit = Circuit(store, "b", policy)
        assert await circuit.look() is CircuitState.CLOSED
        assert await circuit.failed(await circuit.ask()), "this is the second failure"

    run(body)


def test_an_open_breaker_fails_a_run_with_a_clear_error() -> None:
    async def body(rig: Rig) -> None:
        registered(CircuitBreaker(leaf("bad"), policy=CircuitPolicy(failures=1)))
        first = await rig.finish(FLOW, {})
        assert Failure.model_validate_json(first.failure or "").code == "TASK_EXECUTION_FAILED"
        assert "breaker.opened" in checked_events(await rig.events(first.run_id))
        second = await rig.finish(FLOW, {})
        failure = Failure.model_validate_json(second.failure or "")
        assert failure.code == "CIRCUIT_OPEN"
        assert "'flow-leaf' is open" in failure.message
        assert texts()["bad"] == 1

    run(body)


def test_branches_of_queued_steps_fail_together_and_the_flow_goes_on() -> None:
    async def body(rig: Rig) -> None:
        rig.consumer = "b"
        far = leaf("bad", agent="flow-far") | leaf("gate", agent="flow-far")
        registered(Fallback(far, leaf("c", agent="flow-far")) >> leaf("d"))
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id) as running:
            await running
        done = await rig.until_ended(run_id)
        assert trail_of_run(done) == ["c", "d"]

    run(body)


def test_a_parallel_takes_no_more_places_than_its_limit() -> None:
    async def body(rig: Rig) -> None:
        gates = [leaf(f"gate {number}") for number in range(5)]
        registered(Parallel(*gates, limit=2))
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id):
            for number in range(5):
                await until_done(rig, f"gate {min(4, number + 1)}")
                assert len(texts()) == min(5, number + 2)
                GATES[f"gate {number}"].set()
            done = await rig.until_ended(run_id)
        assert trail_of_run(done) == [f"gate {number}" for number in range(5)]

    run(body)
