"""What permits promise, wherever they are kept."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis import Redis

from envelope.errors import InvalidInput, Unavailable
from envelope.ports.permits import PermitAsk, Permits
from tests.conformance.permits_bench import (
    AGENT,
    Bench,
    InProcessBench,
    RedisBench,
    acquire,
    ask,
    executed,
    held,
    of,
    order,
    queue,
    until,
    waiting,
)

Case = Callable[[Bench], Awaitable[None]]
Run = Callable[[Case], None]


@pytest.fixture(params=["in process", "redis"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a case on a bench of its own."""
    url = request.getfixturevalue("redis_url") if request.param == "redis" else ""
    if url:
        with Redis.from_url(url) as client:
            client.flushall()

    async def on_a_bench(case: Case) -> None:
        bench: Bench = RedisBench(url) if url else InProcessBench()
        try:
            await asyncio.wait_for(case(bench), 60)
        finally:
            await bench.close()

    return lambda case: asyncio.run(on_a_bench(case))


async def _full(bench: Bench, limit: int = 1) -> Permits:
    """A desk that holds all permits, for steps 0 to limit - 1."""
    desk = await bench.desk("w1")
    for step in range(limit):
        await desk.acquire(ask(step, limit=limit))
    return desk


def test_no_more_than_the_limit_are_held_and_the_rest_come_in_order(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await _full(bench, 3)
        tasks = await queue(desk, *(ask(step, limit=3) for step in range(3, 8)))
        assert await held(desk) == ["0", "1", "2"]
        assert await waiting(desk) == ["3", "4", "5", "6", "7"]
        desk.release(AGENT, "run", "1")
        await tasks.pop("3")
        assert await held(desk) == ["0", "2", "3"]
        assert not any(task.done() for task in tasks.values())
        for step in ("0", "2"):
            desk.release(AGENT, "run", step)
        await asyncio.gather(tasks.pop("4"), tasks.pop("5"))
        desk.release(AGENT, "run", "3")
        await tasks.pop("6")

    run(case)


def test_every_agent_has_its_own_permits(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await _full(bench)
        await desk.acquire(ask(0, agent="another"))
        assert [permits.agent for permits in await desk.report()] == ["another", AGENT]

    run(case)


def test_the_thousand_of_one_tenant_do_not_delay_the_first_of_another(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await _full(bench)
        many = [acquire(desk, ask(f"many {index}", tenant="big")) for index in range(1000)]

        async def all_wait() -> bool:
            return len(await waiting(desk)) == 1000

        await until(all_wait, "a thousand wait")
        desk.release(AGENT, "run", "0")
        await many[0]
        small = await queue(desk, *(ask(f"small {index}", tenant="small") for index in "01"))
        assert (await waiting(desk))[:4] == ["many 1", "small 0", "many 2", "small 1"]
        desk.release(AGENT, "run", "many 0")
        await many[1]
        desk.release(AGENT, "run", "many 1")
        await small["small 0"]
        assert not many[2].done()

    run(case)


def test_tenants_take_turns(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await _full(bench)
        asks = [ask(f"{tenant}{index}", tenant=tenant) for tenant in "abc" for index in range(3)]
        tasks = await queue(desk, *asks)
        expected = ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]
        assert await waiting(desk) == expected
        desk.release(AGENT, "run", "0")
        assert await order(desk, tasks) == expected

    run(case)


def test_a_tenant_that_comes_late_has_saved_nothing_up(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await _full(bench)
        tasks = await queue(desk, *(ask(f"a{index}", tenant="a") for index in range(6)))
        desk.release(AGENT, "run", "0")
        for index in range(3):
            await tasks.pop(f"a{index}")
            if index < 2:
                desk.release(AGENT, "run", f"a{index}")
        tasks |= await queue(desk, *(ask(f"b{index}", tenant="b") for index in range(3)))
        desk.release(AGENT, "run", "a2")
        assert await order(desk, tasks) == ["a3", "b0", "a4", "b1", "a5", "b2"]

    run(case)


def test_a_tenant_cannot_go_first_twice_by_waiting_for_one_at_a_time(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await _full(bench)
        tasks = await queue(desk, ask("a0", tenant="a"), ask("b0", tenant="b"))
        desk.release(AGENT, "run", "0")
        await tasks.pop("a0")
        tasks |= await queue(desk, ask("a1", tenant="a"), ask("b1", tenant="b"))
        desk.release(AGENT, "run", "a0")
        assert await order(desk, tasks) == ["b0", "a1", "b1"]

    run(case)


def test_what_a_tenant_withdrew_costs_it_nothing(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await _full(bench)
        given_up = [acquire(desk, ask(f"x{index}", tenant="a")) for index in range(50)]
        tasks = await queue(desk, *(ask(f"b{index}", tenant="b") for index in range(4)))
        for task in given_up:
            task.cancel()
        await asyncio.wait(given_up)
        tasks |= await queue(desk, ask("a", tenant="a"))
        desk.release(AGENT, "run", "0")
        assert await order(desk, tasks) == ["b0", "a", "b1", "b2", "b3"]

    run(case)


def test_priority_goes_first_and_fairness_holds_within_it(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await _full(bench)
        tasks = await queue(
            desk,
            ask("low a", tenant="a"),
            ask("high a0", tenant="a", priority=9),
            ask("high a1", tenant="a", priority=9),
            ask("high b0", tenant="b", priority=9),
            ask("middle", tenant="b", priority=4),
            ask("low b", tenant="b"),
        )
        expected = ["high a0", "high b0", "high a1", "middle", "low a", "low b"]
        assert await waiting(desk) == expected
        desk.release(AGENT, "run", "0")
        assert await order(desk, tasks) == expected

    run(case)


def test_what_is_asked_in_one_turn_is_granted_by_priority(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await bench.desk("w1")
        tasks = {
            name: acquire(desk, ask(name, priority=priority))
            for name, priority in (("low", 0), ("high", 9))
        }
        assert await order(desk, tasks) == ["high", "low"]

    run(case)


def test_who_asks_in_the_turn_of_a_release_does_not_overtake(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await _full(bench)
        tasks = await queue(desk, ask("first"))
        desk.release(AGENT, "run", "0")
        tasks["again"] = acquire(desk, ask("0"))
        await tasks.pop("first")
        assert await held(desk) == ["first"]
        desk.release(AGENT, "run", "first")
        await tasks["again"]

    run(case)


def test_the_same_step_has_one_permit_however_often_it_asks(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await _full(bench)
        await desk.acquire(ask(0))
        assert await held(desk) == ["0"]
        both = [acquire(desk, ask(1)), acquire(desk, ask(1))]
        (other,) = (await queue(desk, ask(2))).values()
        desk.release(AGENT, "run", "0")
        await asyncio.gather(*both)
        assert not other.done()
        desk.release(AGENT, "run", "1")
        await other

    run(case)


def test_a_held_permit_changes_hands_at_once(run: Run) -> None:
    async def case(bench: Bench) -> None:
        owner, executor = await _full(bench), await bench.desk("w2")
        (other,) = (await queue(owner, ask("other"))).values()
        await executor.acquire(ask(0))
        (holder,) = (await of(owner)).holders
        assert holder.worker == "w2"
        owner.release(AGENT, "run", "0")
        await executed(owner)
        assert await held(owner) == ["0"]
        assert not other.done()
        executor.release(AGENT, "run", "0")
        await other

    run(case)


def test_an_ask_that_waits_changes_hands_and_keeps_its_place(run: Run) -> None:
    async def case(bench: Bench) -> None:
        first, second = await _full(bench), await bench.desk("w2")
        tasks = await queue(first, ask("a"), ask("b"))
        taken_over = acquire(second, ask("a"))

        async def is_theirs() -> bool:
            return (await of(first)).waiters[0].worker == "w2"

        await until(is_theirs, "the ask changes hands")
        assert await waiting(first) == ["a", "b"]
        tasks["a"].cancel()  # the former asker leaves without taking the ask along
        first.release(AGENT, "run", "0")
        await taken_over
        second.release(AGENT, "run", "a")
        await tasks["b"]

    run(case)


def test_who_is_cancelled_leaves_the_queue(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await _full(bench)
        tasks = await queue(desk, ask("a"), ask("b"), ask("c"))
        tasks.pop("a").cancel()
        tasks.pop("c").cancel()

        async def only_b() -> bool:
            return await waiting(desk) == ["b"]

        await until(only_b, "the others left")
        desk.release(AGENT, "run", "0")
        await tasks["b"]

    run(case)


def test_one_of_two_callers_leaves_without_the_other(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await _full(bench)
        stays = (await queue(desk, ask("a")))["a"]
        leaves = acquire(desk, ask("a"))
        await asyncio.sleep(0)
        leaves.cancel()
        await asyncio.wait({leaves})
        desk.release(AGENT, "run", "0")
        await stays
        assert await held(desk) == ["a"]

    run(case)


@pytest.mark.parametrize("turns", range(12))
def test_a_cancellation_that_races_with_the_grant_leaves_nothing_behind(
    run: Run, turns: int
) -> None:
    async def case(bench: Bench) -> None:
        desk = await bench.desk("w1")
        for _ in range(20):
            task = acquire(desk, ask("racing"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                desk.release(AGENT, "run", "racing")
        await desk.acquire(ask("last"))
        assert await held(desk) == ["last"]
        assert await waiting(desk) == []

    run(case)


def test_limits_set_at_run_time(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await _full(bench, 2)
        tasks = await queue(desk, *(ask(step, limit=2) for step in "abcd"))
        assert (await of(desk)).why == "all 2 permits are held"

        await desk.set_limits({AGENT: 4})  # grants at once
        await asyncio.gather(tasks["a"], tasks["b"])
        assert ((await of(desk)).limit, await waiting(desk)) == (4, ["c", "d"])

        await desk.set_limits({AGENT: 1})  # nothing until one is left
        lowered = (await of(desk)).why
        assert lowered is not None
        assert lowered.startswith("a limit lower than the number held was set")
        for step in ("0", "1", "a"):
            desk.release(AGENT, "run", step)
        await executed(desk)
        assert not tasks["c"].done()
        desk.release(AGENT, "run", "b")
        await tasks["c"]

        await desk.set_limits({AGENT: 0})
        assert (await of(desk)).why == "limit is 0"
        desk.release(AGENT, "run", "c")
        await executed(desk)
        assert not tasks["d"].done()

        await desk.set_limits({})  # the registered one holds again
        await tasks["d"]
        assert ((await of(desk)).limit, (await of(desk)).why) == (2, None)

    run(case)


def test_a_report_names_holders_and_waiters(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk, other = await bench.desk("w1"), await bench.desk("w2")
        assert await desk.report() == []
        await desk.acquire(ask("a", tenant="red: 1"))
        await queue(desk, ask("b", tenant="blue"))
        await queue(other, ask("c", tenant="red: 1", priority=5))
        (report,) = await other.report()
        assert (report.agent, report.limit) == (AGENT, 1)
        (holder,) = report.holders
        assert (holder.run_id, holder.step, holder.tenant) == ("run", "a", "red: 1")
        assert holder.worker == "w1"
        first, second = report.waiters
        assert (first.place, first.step, first.worker, first.priority) == (1, "c", "w2", 5)
        assert (second.place, second.step, second.worker, second.tenant) == (2, "b", "w1", "blue")
        assert holder.since <= second.since <= first.since < holder.since + 60

    run(case)


def test_names_may_be_anything(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk, other = await bench.desk("w1"), await bench.desk("w2")
        odd = [
            PermitAsk(agent=agent, run_id=f"r:{agent}", step=step, limit=1, tenant=step)
            for agent in ("a:held", "a", "*", "ü b/%")
            for step in ("x:y", "x y", "", "é*")
        ]

        async def work(where: Permits, one: PermitAsk) -> None:
            await where.acquire(one)
            where.release(one.agent, one.run_id, one.step)

        async with asyncio.TaskGroup() as together:
            for index, one in enumerate(odd):
                together.create_task(work(desk if index % 2 else other, one))
        report = await desk.report()
        assert [permits.agent for permits in report] == sorted({one.agent for one in odd})
        assert not any(permits.waiters for permits in report)

    run(case)


def test_a_release_of_what_is_not_held_does_nothing(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk, other = await _full(bench), await bench.desk("w2")
        other.release(AGENT, "run", "0")
        desk.release(AGENT, "run", "unknown")
        tasks = await queue(other, ask("a"))
        assert await held(desk) == ["0"]
        other.release(AGENT, "run", "a")  # waits, and goes on waiting
        desk.release(AGENT, "run", "0")
        await tasks["a"]

    run(case)


def test_a_priority_out_of_range_is_refused(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk = await bench.desk("w1")
        with pytest.raises(InvalidInput, match="not one of 0 to 9"):
            await desk.acquire(ask("a", priority=10))
        assert await desk.report() == []

    run(case)


def test_who_closes_gives_everything_back(run: Run) -> None:
    async def case(bench: Bench) -> None:
        desk, other = await _full(bench), await bench.desk("w2")
        (mine,) = (await queue(desk, ask("mine"))).values()
        (theirs,) = (await queue(other, ask("theirs"))).values()
        await desk.close()
        await theirs
        assert (await held(other), await waiting(other)) == (["theirs"], [])
        with pytest.raises(Unavailable):
            await mine
        with pytest.raises(Unavailable):
            await desk.acquire(ask("late"))

    run(case)
