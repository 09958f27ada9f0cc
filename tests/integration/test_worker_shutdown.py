"""How a worker ends, and what becomes of its messages: real processes, a real Redis."""

import signal
from collections.abc import Callable

import pytest

from tests.integration.celery_probe.process import Broker, WorkerProcess, until

StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def broker(new_broker: Callable[[], Broker]) -> Broker:
    return new_broker()


def hanging(broker: Broker) -> int:
    return int(broker.redis.llen("hanging"))


@pytest.mark.parametrize("flags", [(), ("-P", "prefork", "-c", "2")], ids=["asyncio", "prefork"])
def test_sigterm_lets_running_tasks_finish(
    broker: Broker, start_worker: StartWorker, flags: tuple[str, ...]
) -> None:
    worker = start_worker(broker, *flags).ready()
    broker.send("probe.nap", 1.5, "finished")
    until(lambda: broker.redis.hget("naps", "running") == "1", what="the body runs")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert broker.redis.lrange("napped", 0, -1) == ["finished"]
    assert broker.settled()


def test_sigterm_leaves_what_has_not_begun_in_the_queue(
    broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker(broker, "-c", "2").ready()
    for number in range(6):
        broker.send("probe.nap_acked_early", 1.0, str(number))
    until(lambda: broker.redis.hget("naps", "running") == "2", what="two bodies run")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    napped = int(broker.redis.llen("napped"))
    assert napped >= 2
    assert napped + int(broker.redis.llen("muster")) == 6
    assert broker.unacknowledged() == 0


def test_sigterm_tells_the_application_which_stops_at_a_step(
    broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker(broker).ready()
    broker.send("probe.drained")  # sixty seconds of small steps
    until(lambda: hanging(broker), what="the body runs")
    worker.signal(signal.SIGTERM)
    assert worker.wait(20) == 0
    assert broker.traces("drain") == [{"what": "drain", "how": "Warm", "on_process_loop": True}]
    assert len(broker.traces("stopped at a step")) == 1
    assert broker.settled()


def test_sigquit_waits_no_longer_than_the_application_needs(
    broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker(broker, PROBE_SOFT_SHUTDOWN="60").ready()
    broker.send("probe.drained")
    until(lambda: hanging(broker), what="the body runs")
    worker.signal(signal.SIGQUIT)
    worker.wait(20)
    assert broker.traces("drain") == [{"what": "drain", "how": "Cold", "on_process_loop": True}]
    assert len(broker.traces("stopped at a step")) == 1
    assert broker.settled()


def test_an_error_of_the_consumer_ends_the_worker_at_a_step(
    broker: Broker, start_worker: StartWorker
) -> None:
    worker = start_worker(broker).ready()
    broker.send("probe.drained")  # sixty seconds of small steps
    until(lambda: hanging(broker), what="the body runs")
    broker.send("probe.break_the_consumer")
    assert worker.wait(20) != 0  # a supervisor starts it anew
    assert broker.traces("drain") == [{"what": "drain", "how": "Warm", "on_process_loop": True}]
    assert len(broker.traces("stopped at a step")) == 1


@pytest.mark.parametrize("seconds", ["0", "1"])
def test_sigquit_returns_unfinished_messages_to_the_queue(
    broker: Broker, start_worker: StartWorker, seconds: str
) -> None:
    worker = start_worker(broker, PROBE_SOFT_SHUTDOWN=seconds).ready()
    broker.send("probe.hang")
    until(lambda: hanging(broker), what="the body runs")
    worker.signal(signal.SIGQUIT)
    worker.wait(20)
    assert broker.redis.llen("cancelled") == 1
    assert broker.redis.llen("muster") == 1
    assert broker.unacknowledged() == 0
    successor = start_worker(broker).ready()
    until(lambda: hanging(broker) == 2, what="the successor runs it")
    successor.kill()


def test_sigquit_is_not_held_up_by_a_thread(broker: Broker, start_worker: StartWorker) -> None:
    worker = start_worker(broker).ready()
    broker.send("probe.plain", 120)
    until(lambda: "prerun" in broker.signals("probe.plain"), what="the body runs")
    worker.signal(signal.SIGQUIT)
    worker.wait(20)
    assert broker.redis.llen("muster") == 1


@pytest.mark.parametrize("flags", [(), ("-P", "prefork", "-c", "2")], ids=["asyncio", "prefork"])
def test_a_killed_worker_loses_no_message(
    broker: Broker, start_worker: StartWorker, flags: tuple[str, ...]
) -> None:
    worker = start_worker(broker, *flags, PROBE_VISIBILITY="2").ready()
    sent = broker.send("probe.hang")
    until(lambda: hanging(broker), what="the body runs")
    worker.kill()
    assert broker.unacknowledged() == 1
    successor = start_worker(broker, *flags, PROBE_VISIBILITY="2").ready()
    until(lambda: hanging(broker) >= 2, what="the successor runs it")
    assert successor.says(sent)
    successor.kill()


def test_flushed_redis_does_not_stop_the_worker(broker: Broker, start_worker: StartWorker) -> None:
    worker = start_worker(broker).ready()
    broker.send("probe.nap", 1.0, "begun before")
    until(lambda: broker.redis.hget("naps", "running") == "1", what="the body runs")
    broker.redis.flushdb()
    broker.send("probe.add", 1, 1)
    until(lambda: broker.traces("added"), what="a new message is consumed")
    until(lambda: broker.redis.llen("napped") == 1, what="the running body ends")
    assert not worker.ended
    worker.kill()
