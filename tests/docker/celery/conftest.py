"""Our worker image under pytest-celery: real Redis and Postgres, workers killed and replaced."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pytest_celery import (
    CeleryBackendCluster,
    CeleryWorkerContainer,
    RedisContainer,
    RedisTestBroker,
)
from pytest_docker_tools import build, container, fxtr, network, wrappers
from pytest_docker_tools.wrappers import container as wrapping

from tests.docker.leftovers import LABEL, clear_away, owned_name
from tests.services.waiting import wait_until

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CLIENT = (ROOT / "tests/docker/docker_client.py").read_text()
OWNED = {LABEL: owned_name("released")}

# Asks whether /.dockerenv exists, which says nothing about whether ports are published to here.
wrapping.tests_inside_container = lambda: False


class Worker(CeleryWorkerContainer):
    """A container of our image, ready when its engine has taken a lease."""

    @property
    def ready_prompt(self) -> str:
        return "worker.started"

    @classmethod
    def command(cls, *args: str, **_: Any) -> list[str]:
        return ["celery", "-A", "worker", "worker", "-n", "released@%h", *args]


class Postgres(wrappers.Container):
    """Ready when it takes connections over the network: while it is set up it does not."""

    def ready(self) -> bool:
        if not super().ready():
            return False
        try:
            psycopg.connect(self.url("127.0.0.1", self.get_addr("5432/tcp")[1])).close()
        except psycopg.OperationalError:
            return False
        return True

    def url(self, host: str, port: int) -> str:
        return f"postgresql://postgres:journal@{host}:{port}/postgres"


@pytest.fixture(scope="session", autouse=True)
def _nothing_left_over() -> None:
    clear_away()


@pytest.fixture(scope="session")
def muster_image() -> str:
    """The product's image, built as compose builds it."""
    name = "muster:local"
    command = ["docker", "build", "--quiet", "--target", "muster", "--tag", name, str(ROOT)]
    subprocess.run(command, check=True)
    return name


celery_base_worker_image = build(
    path=str(HERE),
    tag="muster-released:1",
    buildargs={"BASE": fxtr("muster_image"), "RELEASE": "1"},
)
next_image = build(
    path=str(HERE),
    tag="muster-released:2",
    buildargs={"BASE": fxtr("muster_image"), "RELEASE": "2"},
)

# One Redis and one Postgres for all tests, as any user has them; each test has a worker of its own.
default_pytest_celery_network = network(scope="session", labels=dict(OWNED))

default_redis_broker = container(
    scope="session",
    image="redis:7-alpine",
    command=RedisContainer.command(),
    ports=RedisContainer.ports(),
    tmpfs={"/data": ""},
    network="{default_pytest_celery_network.name}",
    labels=dict(OWNED),
    wrapper_class=RedisContainer,
    timeout=90,
)

postgres = container(
    scope="session",
    image="postgres:16-alpine",
    environment={"POSTGRES_PASSWORD": "journal"},
    ports={"5432/tcp": None},
    network="{default_pytest_celery_network.name}",
    tmpfs={"/var/lib/postgresql/data": ""},
    labels=dict(OWNED),
    wrapper_class=Postgres,
    timeout=90,
)

_WORKER = {
    "environment": fxtr("released_env"),
    "network": "{default_pytest_celery_network.name}",
    "volumes": {"{ledger}": {"bind": "/ledger", "mode": "rw"}},
    "labels": OWNED,
    "wrapper_class": Worker,
    "timeout": 90,
    "command": fxtr("default_worker_command"),
    "init": True,
}
default_worker_container = container(image="{celery_base_worker_image.id}", **_WORKER)
next_worker = container(image="{next_image.id}", **_WORKER)


@pytest.fixture
def default_worker_container_cls() -> type[Worker]:
    return Worker


@pytest.fixture
def celery_broker(celery_redis_broker: RedisTestBroker) -> Iterator[RedisTestBroker]:
    yield celery_redis_broker
    celery_redis_broker.teardown()


@pytest.fixture
def celery_backend_cluster() -> CeleryBackendCluster | None:
    """Results are the journal's."""
    return None


@pytest.fixture
def ledger(tmp_path: Path) -> str:
    folder = tmp_path / "ledger"
    folder.mkdir()
    folder.chmod(0o777)  # the workers are a user that the host does not have
    return str(folder)


@pytest.fixture
def released_env(celery_redis_broker: RedisTestBroker, postgres: Postgres) -> dict[str, str]:
    return {
        "MUSTER_REDIS_URL": celery_redis_broker.container.celeryconfig["url"],
        "MUSTER_DATABASE_URL": postgres.url(postgres.attrs["Config"]["Hostname"], 5432),
        "MUSTER_LEASE_SECONDS": "3",
        "MUSTER_HEARTBEAT_SECONDS": "1",
    }


class Runs:
    """Accepts runs and waits for them, by a client in a worker's container."""

    def __init__(self, ledger: str) -> None:
        self._ledger = Path(ledger)

    def enqueue(self, worker: Worker, count: int, **payload: Any) -> list[str]:
        test = self._ledger.parent.name
        triggers = [
            {"flow": "released_naps", "payload": payload, "key": f"{test} {payload} {number}"}
            for number in range(count)
        ]
        return self._client(worker, "enqueue", triggers)

    def wait(self, worker: Worker, run_ids: list[str]) -> list[dict[str, Any]]:
        return self._client(worker, "wait", run_ids)

    def noted(self, what: str, run_ids: list[str]) -> Counter[tuple[str, str]]:
        """How often each step of these runs was begun, or done."""
        lines = [
            json.loads(line)
            for file in self._ledger.glob("*.jsonl")
            for line in file.read_text().splitlines()
        ]
        return Counter(
            (one["run"], one["step"])
            for one in lines
            if one["what"] == what and one["run"] in run_ids
        )

    def let_end(self) -> None:
        """Runs that go on until they are told to end now do so."""
        (self._ledger / "enough").touch()

    def until_under_way(self, run_ids: list[str], steps: int) -> None:
        wait_until(lambda: self.noted("done", run_ids).total() >= steps, 60, "steps are done")

    def until_stopped(self, worker: Worker) -> None:
        def stopped() -> bool:
            worker.reload()
            return worker.status == "exited"

        wait_until(stopped, 90, "the worker has stopped")

    def _client(self, worker: Worker, work: str, given: Any) -> Any:
        command = ["docker", "exec", "--interactive", worker.id, "python", "-c", CLIENT, work]
        done = subprocess.run(
            command, input=json.dumps(given), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def runs(ledger: str) -> Runs:
    return Runs(ledger)


Expected = Callable[[list[dict[str, Any]], str], Counter[tuple[str, str]]]


@pytest.fixture
def once() -> Expected:
    """Each step that the journal has of these runs, once; all of them bear that name."""

    def counted(outcomes: list[dict[str, Any]], name: str) -> Counter[tuple[str, str]]:
        steps = Counter((one["run"], step) for one in outcomes for step in one["attempts"])
        assert all(step.startswith(f"{name}-") for _, step in steps)
        return steps

    return counted
