"""The same `async def` tasks under each pool: a real worker, a real Redis."""

from collections.abc import Callable, Iterator

import pytest

from tests.integration.celery_probe.process import Broker, WorkerProcess, until

FLAGS = {
    "asyncio": (),
    "prefork": ("-P", "prefork", "-c", "2"),
    "threads": ("-P", "threads", "-c", "4"),
    "solo": ("-P", "solo"),
}
BANNER = {**{name: name for name in FLAGS}, "asyncio": "asyncio_pool", "threads": "thread"}


@pytest.fixture(scope="module", params=FLAGS)
def pool(
    request: pytest.FixtureRequest,
    new_broker: Callable[[], Broker],
    start_worker: Callable[..., WorkerProcess],
) -> Iterator[Broker]:
    broker = new_broker()
    worker = start_worker(broker, *FLAGS[request.param]).ready()
    assert worker.says(f"({BANNER[request.param]})")
    yield broker
    worker.kill()


@pytest.fixture
def broker(pool: Broker) -> Broker:
    pool.forget()
    return pool


def test_an_async_body_runs_on_the_process_loop_and_is_acknowledged(broker: Broker) -> None:
    broker.send("probe.add", 1, 2)
    (added,) = until(lambda: broker.traces("added"), what="the body ran")
    assert added == {"what": "added", "sum": 3, "on_process_loop": True}
    until(broker.settled, what="the message is acknowledged")


def test_the_signals_are_celerys_own(broker: Broker) -> None:
    broker.send("probe.add", 1, 2)
    until(lambda: "postrun" in broker.signals("probe.add"), what="postrun")
    assert broker.signals("probe.add") == ["prerun", "success", "postrun"]


def test_a_failing_body_is_a_failed_task(broker: Broker) -> None:
    broker.send("probe.fail")
    until(lambda: "postrun" in broker.signals("probe.fail"), what="postrun")
    assert broker.signals("probe.fail") == ["prerun", "failure", "postrun"]
    until(broker.settled, what="the message is acknowledged")


def test_the_request_is_visible_in_the_body_and_in_what_it_starts(broker: Broker) -> None:
    sent = broker.send("probe.look_at_request")
    (seen,) = until(lambda: broker.traces("request"), what="the body ran")
    assert (seen["before"], seen["after"], seen["child"]) == (sent, sent, sent)
    assert seen["current"] == "probe.look_at_request"
    assert seen["queue"] == "muster"


def test_a_task_sent_from_a_body_knows_its_parent(broker: Broker) -> None:
    sent = broker.send("probe.start_child")
    (child,) = until(lambda: broker.traces("child"), what="the child ran")
    assert child["parent"] == sent


@pytest.mark.parametrize("task", ["probe.retry_by_hand", "probe.retry_by_itself"])
def test_a_body_is_retried(broker: Broker, task: str) -> None:
    broker.send(task)
    until(lambda: "success" in broker.signals(task), what="the last attempt succeeds")
    assert [row["retries"] for row in broker.traces("attempt")] == [0, 1, 2]
    # A child that hands the next attempt on tells of it after another child may have begun that.
    until(lambda: broker.signals(task).count("retry") == 2, what="both retries are told")
    until(broker.settled, what="every attempt is acknowledged")


def test_a_rejected_message_does_not_return(broker: Broker) -> None:
    broker.send("probe.reject")
    until(lambda: "postrun" in broker.signals("probe.reject"), what="the body ran")
    until(broker.settled, what="the message is gone")
    assert broker.signals("probe.reject").count("prerun") == 1


# Celery has no time limits under threads and solo.
limited_pools = pytest.mark.parametrize("pool", ["asyncio", "prefork"], indirect=True)


@limited_pools
def test_a_soft_limit_can_be_caught_in_the_body(broker: Broker) -> None:
    broker.send("probe.catch_soft_limit", soft_time_limit=0.3, time_limit=20)
    until(lambda: broker.traces("soft limit caught"), what="the body caught its limit")
    until(lambda: "success" in broker.signals("probe.catch_soft_limit"), what="it succeeded")
    until(broker.settled, what="the message is acknowledged")


@limited_pools
def test_a_soft_limit_cancels_a_task_group(broker: Broker) -> None:
    broker.send("probe.soft_limit_in_a_group", soft_time_limit=0.3, time_limit=20)
    until(lambda: broker.traces("member cancelled"), what="the member was cancelled")
    until(lambda: "failure" in broker.signals("probe.soft_limit_in_a_group"), what="it failed")
