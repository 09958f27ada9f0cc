"""The scripts in Redis grant in the order of the plain Python that they are checked against."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from envelope.ports.permits import Permits
from tests.conformance.permits_bench import (
    AGENT,
    InProcessBench,
    RedisBench,
    acquire,
    ask,
    executed,
    of,
)

_STEPS = st.integers(0, 11).map(str)
_ASKS = st.tuples(
    st.just("ask"), _STEPS, st.sampled_from("abc"), st.sampled_from([0, 0, 0, 5]), st.integers(0, 1)
)
_ACTS = st.one_of(
    _ASKS,
    _ASKS,
    st.tuples(st.sampled_from(["release", "cancel"]), _STEPS),
    st.tuples(st.just("limit"), st.integers(0, 4)),
)


class _Script:
    """Does the same at one bench as at another."""

    def __init__(self, desks: Sequence[Permits]) -> None:
        self._desks = desks
        self._tasks: dict[str, tuple[Permits, asyncio.Task[None]]] = {}

    async def do(self, act: tuple[Any, ...]) -> tuple[Any, ...]:
        getattr(self, f"_{act[0]}")(*act[1:])
        if act[0] == "limit":
            for desk in self._desks:
                await desk.set_limits({AGENT: act[1]})
        for _ in range(2):
            for desk in self._desks:
                await executed(desk)
        return await self._seen()

    async def end(self) -> None:
        for _, task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in self._tasks.values()), return_exceptions=True)

    def _ask(self, step: str, tenant: str, priority: int, where: int) -> None:
        if step not in self._tasks:
            desk = self._desks[where]
            wanted = ask(step, limit=2, tenant=tenant, priority=priority)
            self._tasks[step] = desk, acquire(desk, wanted)

    def _release(self, step: str) -> None:
        if step in self._tasks and self._tasks[step][1].done():
            desk, _ = self._tasks.pop(step)
            desk.release(AGENT, "run", step)

    def _cancel(self, step: str) -> None:
        if step in self._tasks and not self._tasks[step][1].done():
            self._tasks.pop(step)[1].cancel()

    def _limit(self, number: int) -> None:
        """Set by `do`."""

    async def _seen(self) -> tuple[Any, ...]:
        seen = await of(self._desks[0])
        waiters = [(w.place, w.step, w.tenant, w.priority, w.worker) for w in seen.waiters]
        holders = sorted((h.step, h.tenant, h.worker) for h in seen.holders)
        return seen.limit if holders or waiters else None, seen.why, holders, waiters


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_ACTS, max_size=40))
def test_the_order_is_that_of_the_model(redis_url: str, acts: list[tuple[Any, ...]]) -> None:
    async def case() -> None:
        benches = InProcessBench(), RedisBench(redis_url, looking=False)
        model, real = [_Script([await b.desk("w1"), await b.desk("w2")]) for b in benches]
        try:
            for act in acts:
                assert await real.do(act) == await model.do(act), act
        finally:
            await real.end()
            await model.end()
            for bench in benches:
                await bench.close()

    with Redis.from_url(redis_url) as client:
        client.flushall()
    asyncio.run(case())
