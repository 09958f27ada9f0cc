"""The order of grants, the notices, and what a person is told, without any service."""

import asyncio

import pytest

from envelope.ports.permits import PermitAsk
from worker.coordination.permits.desk import MAX_BATCH, Desk
from worker.coordination.permits.fair_queue import FairQueue
from worker.coordination.permits.names import Grant, name_of, read_notice, run_and_step
from worker.coordination.permits.order import why
from worker.coordination.permits.scripts import NAMES, script


def _queue(*lines: str) -> FairQueue:
    """A queue of `<priority><tenant><permit>`."""
    queue = FairQueue()
    for line in lines:
        queue.put(line, priority=int(line[0]), tenant=line[1])
    return queue


def _serve_all(queue: FairQueue) -> list[str]:
    return [queue.serve() for _ in range(len(queue))]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["0a1", "0a2", "0b1", "0b2", "0c1"],
        ["0a1", "9b1", "5a1", "9b2", "9a1", "0c1"],
        ["0b1", "0a1", "0b2", "0b3", "0a2", "0c1", "1c1"],
    ],
)
def test_the_places_are_the_order_of_service(lines: list[str]) -> None:
    queue = _queue(*lines)
    assert queue.in_order() == _serve_all(queue)


def test_every_tenant_gets_as_much_however_much_it_asks() -> None:
    queue = _queue(*(f"0a{index}" for index in range(100)), *(f"0b{index}" for index in range(10)))
    served = [queue.serve() for _ in range(20)]
    assert sum(permit[1] == "b" for permit in served) == 10


def test_a_stream_of_newcomers_does_not_keep_anybody_waiting_for_ever() -> None:
    queue = _queue("0z0", "0z1", "0z2")
    for number in range(10):
        queue.put(f"0{number}", priority=0, tenant=str(number))
        queue.serve()
    assert not {"0z0", "0z1", "0z2"} & set(queue.in_order())


def test_the_first_of_a_tenant_waits_for_one_of_every_other_at_most() -> None:
    queue = _queue("0a1", "0b1", "0a2", "0b2", "0a3", "0b3")
    assert queue.serve() == "0a1"
    queue.put("0c1", priority=0, tenant="c")
    assert queue.in_order() == ["0b1", "0a2", "0c1", "0b2", "0a3", "0b3"]
    assert queue.in_order() == _serve_all(queue)


def test_names_survive_quoting() -> None:
    for run_id, step in (("r:1", "a b"), ("", ""), ("ü%", "x:y:z*")):
        agent, permit = name_of("a:b", run_id, step)
        assert (agent, run_and_step(permit)) == ("a%3Ab", (run_id, step))


def test_only_a_notice_of_this_era_is_read() -> None:
    agent, permit = name_of("a", "r 1", "s")
    notice = f"permit {agent} {permit.replace(':', ' ')} 7 1700000000000000 era"
    assert read_notice(notice, "era") == Grant((agent, permit), 7, 1_700_000_000_000_000)
    assert read_notice(notice, "another") is None
    assert read_notice("", "") is None


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"limit": 8, "held": 8, "waiting": 0}, None),
        ({"limit": 8, "held": 8, "waiting": 1}, "all 8 permits are held"),
        ({"limit": 0, "held": 0, "waiting": 1}, "limit is 0"),
        (
            {"limit": 3, "held": 8, "waiting": 1},
            "a limit lower than the number held was set: 8 are held, the limit is 3",
        ),
        (
            {"limit": 3, "held": 0, "waiting": 1, "missing": 2},
            "after a flush of Redis: waiting for 2 workers to register their permits again",
        ),
        ({"limit": 3, "held": 0, "waiting": 1}, "a permit is free and about to be granted"),
    ],
)
def test_why_somebody_waits(figures: dict[str, int], said: str | None) -> None:
    assert why(**figures) == said


def test_a_batch_is_bounded_and_stays_until_it_is_confirmed() -> None:
    async def case() -> None:
        desk = Desk(lambda: None)
        asks = [
            PermitAsk(agent="a", run_id="r", step=str(index), limit=1)
            for index in range(MAX_BATCH + 1)
        ]
        tasks = [asyncio.create_task(desk.acquire(ask)) for ask in asks]
        await asyncio.sleep(0)
        first = desk.batch()
        assert len(first.asks) == MAX_BATCH
        assert desk.batch().asks == first.asks
        desk.confirm(first, now=1)
        assert [waiter.ask for waiter in desk.batch().asks] == asks[-1:]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert not desk.waiting
        assert len(desk.batch().gives) == MAX_BATCH  # also what was on its way

    asyncio.run(case())


def test_a_grant_that_nobody_waits_for_is_given_back() -> None:
    desk = Desk(lambda: None)
    grant = Grant(name_of("a", "r", "s"), 7, 1)
    desk.granted([grant, grant])
    assert [(give.name, give.ticket) for give in desk.batch().gives] == [(grant.name, 7)]
    assert not desk.held


def test_every_script_begins_with_the_catalogue_of_keys() -> None:
    for name in NAMES:
        assert script(name).startswith("-- The permits' ledger: the keys")
        assert "\n-- KEYS: none" in script(name).partition("\nend\n")[0]
