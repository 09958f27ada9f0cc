"""Caches: of plain functions, and of an agent's answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from agents import agent
from agents.llm.port import LanguageModel
from envelope import Envelope, Usage
from envelope.answers import Answers
from envelope.errors import InvalidInput, QueueUnavailable
from envelope.failure import StepFailed
from envelope.lru import MISSING, LruCache
from envelope.ports.journal_rows import RunState
from envelope.ports.shared import SharedStore
from envelope.resources import Resources
from envelope.running import RUNNING
from orchestrators import run_inline
from orchestrators.flow import Cache, Step, by_model, cached
from tests.rig.engine_rig import Rig, checked_events, rigged
from tests.rig.flow_flows import (
    DONE,
    FAIL,
    FLOW,
    GATES,
    always,
    leaf,
    registered,
    reset,
    taken_over,
    texts,
    trail_of,
    trail_of_run,
    under_way,
    until_done,
)
from worker.coordination.shared.in_process import InProcessShared


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    reset()
    yield
    reset()


class Point(BaseModel):
    x: int


class Asked(BaseModel):
    text: str


def test_the_value_used_longest_ago_makes_room_and_time_ends_others() -> None:
    now = [0.0]
    kept: LruCache[int] = LruCache(2, 10, clock=lambda: now[0])
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (1, MISSING, 3)
    assert kept.stats.evictions == 1
    now[0] = 10
    assert kept.get("a") is MISSING
    assert len(kept) == 1


def test_a_function_is_called_once_for_the_same_arguments() -> None:
    calls: list[Any] = []

    @cached(max_size=10)
    async def double(x: int, *, point: Point | None = None, more: Any = None) -> int | None:
        """Say twice as much."""
        calls.append((x, point, more))
        return x * 2 if x else None

    async def body() -> None:
        assert [await double(1), await double(1), await double(x=1)] == [2, 2, 2]
        assert [await double(0), await double(0)] == [None, None]
        await double(1, point=Point(x=1))
        await double(1, point=Point(x=1), more=None)
        await double(1, more={"a": [1]})
        assert len(calls) == 4
        with pytest.raises(InvalidInput, match=r"'double' make no key.*@cached\(key=…\)"):
            await double(1, more=object())

    asyncio.run(body())
    assert double.__name__ == "double"
    assert double.__doc__ == "Say twice as much."
    assert (double.stats.hits, double.stats.misses) == (4, 4)
    assert double.stats.hit_rate == 0.5
    double.clear()
    assert asyncio.run(double(1)) == 2
    assert len(calls) == 5


def test_calls_at_once_are_one_call_and_survive_the_first_caller() -> None:
    started: list[int] = []
    gate = asyncio.Event()

    @cached(key=lambda x: x.x)
    async def slow(point: Point) -> str:
        started.append(point.x)
        await gate.wait()
        if point.x < 0:
            raise ValueError("negative")
        return f"made {point.x}"

    async def body() -> None:
        first, *others = [asyncio.create_task(slow(Point(x=1))) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        gate.set()
        assert await asyncio.gather(*others) == ["made 1"] * 4
        assert first.cancelled() or first.cancelling()
        failing = [asyncio.create_task(slow(Point(x=-1))) for _ in range(3)]
        told = await asyncio.gather(*failing, return_exceptions=True)
        assert [str(error) for error in told] == ["negative"] * 3
        with pytest.raises(ValueError, match="negative"):
            await slow(Point(x=-1))

    asyncio.run(body())
    assert started == [1, -1, -1], "a failure is not kept"
    assert slow.stats.to_json() == {
        "hits": 0,
        "shared_hits": 0,
        "joined": 6,
        "misses": 3,
        "evictions": 0,
        "hit_rate": 6 / 9,
    }


def made(**more: Any) -> list[str]:
    return trail_of(asyncio.run(run_inline(FLOW, {}, **more)))


def test_the_same_question_is_answered_once_and_costs_nothing_then() -> None:
    cache = Cache(leaf("a"))
    registered(cache >> leaf("b"))
    told: list[str] = []
    assert made() == made(on_event=lambda event, _: told.append(event)) == ["a", "b"]
    assert texts() == {"a": 1, "b": 2}
    assert told == ["cache.hit"]
    assert made(tenant="other") == ["a", "b"]
    assert texts()["a"] == 2, "tenants do not share answers"
    cache.clear()
    made()
    assert texts()["a"] == 3
    assert (cache.stats.hits, cache.stats.misses) == (1, 3)


def test_answers_are_shared_as_far_as_is_said() -> None:
    registered(Cache(leaf("mine"), among="user") >> Cache(leaf("all"), among="everybody"))
    for tenant, user in (("t", "u"), ("t", "v"), ("t", "u"), ("s", "u")):
        made(tenant=tenant, user=user)
    assert texts() == {"mine": 3, "all": 1}


@agent("flow-paid", inline=True)
async def paid(ctx: Any, request: Asked) -> Envelope:
    """Cost money."""
    running = RUNNING.get()
    assert running is not None
    running.add_usage(Usage(requests=1, cost_usd=2.5))
    return Envelope.from_records([{"trail": ["paid"]}], source="x")


@agent("flow-nothing", inline=True)
async def nothing(ctx: Any, request: Asked) -> Envelope:
    """Find nothing."""
    DONE.append((request.text, ctx.step))
    return Envelope.from_records([], source="x")


def test_a_kept_envelope_is_the_same_but_costs_nothing() -> None:
    seen: list[Envelope] = []

    async def see(ctx: Any, value: Envelope) -> Envelope:
        seen.append(value)
        return value

    registered(Cache(Step("flow-paid", request=lambda _: {"text": "q"})) >> see)
    made()
    made()
    first, second = seen
    assert first.records == second.records
    assert first.metadata.usage.cost_usd == 2.5
    assert second.metadata.usage == Usage()


def test_only_success_is_kept() -> None:
    registered(Cache(Step("flow-nothing", request=lambda _: {"text": "q"})))
    made()
    made()
    assert texts()["q"] == 2
    FAIL["bad"] = always
    registered(Cache(leaf("bad")))
    for _ in range(2):
        with pytest.raises(StepFailed):
            made()
    assert texts()["bad"] == 2


class Model:
    def __init__(self, name: str) -> None:
        self.name = name


def test_a_model_s_answers_depend_on_the_model_and_its_parameters() -> None:
    def resources(model: str) -> Resources:
        made = Resources()
        made.provide(LanguageModel, lambda: Model(model))  # type: ignore[type-abstract,arg-type,return-value]
        return made

    warm, cold = (Cache(leaf("a"), vary=by_model(temperature=t)) for t in (1, 0))
    registered(warm)
    for model in ("one", "one", "two"):
        made(resources=resources(model))
    assert texts()["a"] == 2
    registered(cold)
    made(resources=resources("one"))
    assert texts()["a"] == 3


def test_processes_share_answers_and_a_store_that_is_away_is_no_failure() -> None:
    store = InProcessShared()

    class Away(InProcessShared):
        async def get(self, *_: Any) -> Any:
            raise QueueUnavailable("away")

        put = add = discard = get

    def resources(one: InProcessShared) -> Resources:
        made = Resources()
        made.provide(SharedStore, lambda: one)  # type: ignore[type-abstract]
        return made

    def process() -> Cache:
        """A process has memory of its own."""
        cache = Cache(leaf("a"))
        registered(cache)
        return cache

    first = process()
    made(resources=resources(store))
    second = process()
    made(resources=resources(store))
    made(resources=resources(store))
    assert texts()["a"] == 1
    assert (first.stats.misses, second.stats.shared_hits, second.stats.hits) == (1, 1, 1)
    third = process()
    assert made(resources=resources(Away())) == ["a"]
    assert made(resources=resources(Away())) == ["a"]
    assert (third.stats.misses, third.stats.hits) == (1, 1)


def run(body: Callable[[Rig], Awaitable[None]]) -> None:
    async def go() -> None:
        async with rigged() as rig:
            await body(rig)

    asyncio.run(go())


def test_runs_that_ask_at_once_execute_one_step_and_all_have_its_result() -> None:
    async def body(rig: Rig) -> None:
        cache = Cache(leaf("gate"))
        registered(cache >> leaf("b"))
        run_ids = [await rig.accept(FLOW, {}) for _ in range(5)]
        running = [asyncio.create_task(rig.execute(run_id)) for run_id in run_ids]
        await until_done(rig, "gate")
        GATES["gate"].set()
        assert set(await asyncio.gather(*running)) == {RunState.SUCCEEDED}
        assert texts() == {"gate": 1, "b": 5}
        assert (cache.stats.misses, cache.stats.joined) == (1, 4)
        for run_id in run_ids:
            assert trail_of_run(await rig.run(run_id)) == ["gate", "b"]

    run(body)


def test_when_the_run_that_makes_an_answer_is_cancelled_another_makes_it() -> None:
    async def body(rig: Rig) -> None:
        registered(Cache(leaf("gate")))
        first = await rig.accept(FLOW, {})
        async with under_way(rig, first) as making:
            await until_done(rig, "gate")
            second = await rig.accept(FLOW, {})
            async with under_way(rig, second) as waiting:
                await rig.journal.cancel(first, "enough")
                await rig.worker("a").lease.take()
                assert await making is RunState.CANCELLED
                await until_done(rig, "gate", 2)
                GATES["gate"].set()
                assert await waiting is RunState.SUCCEEDED

    run(body)


def test_a_kept_answer_is_this_run_s_own_after_a_crash() -> None:
    """Meanwhile the cache has forgotten it."""

    async def body(rig: Rig) -> None:
        cache = Cache(leaf("a"))
        registered(cache >> leaf("gate"))
        GATES["gate"].set()
        await rig.finish(FLOW, {})
        GATES["gate"].clear()
        run_id = await rig.accept(FLOW, {})
        async with under_way(rig, run_id):
            await until_done(rig, "gate", 2)
            cache.clear()
            GATES["gate"].set()
            done = await taken_over(rig, run_id)
        assert trail_of_run(done) == ["a", "gate"]
        assert texts()["a"] == 1
        assert checked_events(await rig.events(run_id)).count("cache.hit") == 1
        kept = [step for step in await rig.journal.steps(run_id) if step.kind == "once"]
        assert json.loads(kept[0].result or "")

    run(body)


def test_a_caller_that_is_tired_of_waiting_makes_the_answer_itself() -> None:
    async def body() -> None:
        answers = Answers(10, 60, 0.05)
        assert await answers.look(None, "k", "one") is None
        assert await answers.look(None, "k", "two") is None
        answers.land("k", "two")
        assert answers._flights, "the first one is still under way"
        answers.land("k", "one")
        assert not answers._flights

    asyncio.run(body())
