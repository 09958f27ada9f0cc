"""`-Q` on the command line, and the product's own app: real processes, a real Redis."""

import os
import subprocess
import sys
from collections.abc import Callable

from tests.integration.celery_probe.process import ROOT, Broker, WorkerProcess, until


def queues_of(broker: Broker) -> set[str]:
    answers = broker.app.control.inspect(timeout=5, limit=1).active_queues()
    (queues,) = (answers or {}).values()
    return {queue["name"] for queue in queues}


def test_a_pattern_selects_known_queues_only(
    new_broker: Callable[[], Broker], start_worker: Callable[..., WorkerProcess]
) -> None:
    broker = new_broker()
    worker = start_worker(broker, "-Q", "agent.*,runs.lead").ready()
    assert queues_of(broker) == {"agent.copywriter", "agent.rag", "runs.lead"}
    broker.send("agent.copywriter", 1, 2)
    broker.send("probe.add", 5, 5)
    until(lambda: broker.traces("added"), what="the agent's message is processed")
    assert [row["sum"] for row in broker.traces("added")] == [3]
    assert broker.redis.llen("muster") == 1
    worker.kill()


def test_messages_find_their_queue_by_the_name_of_the_task(
    new_broker: Callable[[], Broker],
) -> None:
    broker = new_broker()
    broker.send("run.lead")
    broker.send("agent.rag", 0)
    broker.send("anything.else")
    lengths = {name: broker.redis.llen(name) for name in ("runs.lead", "agent.rag", "muster")}
    assert lengths == {"runs.lead": 1, "agent.rag": 1, "muster": 1}


def test_a_typed_prefork_is_obeyed_with_a_process_for_each_cpu(
    new_broker: Callable[[], Broker], start_worker: Callable[..., WorkerProcess]
) -> None:
    worker = start_worker(new_broker(), "-P", "prefork").ready()
    assert worker.says(f"concurrency: {os.cpu_count()} (prefork)")
    worker.kill()


def celery(broker: Broker, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "celery", *arguments],
        cwd=ROOT,
        env={**os.environ, "PROBE_REDIS_URL": broker.url, "MUSTER_REDIS_URL": broker.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_unknown_queue_is_refused_with_those_that_exist(
    new_broker: Callable[[], Broker],
) -> None:
    app = "tests.integration.celery_probe.app"
    result = celery(new_broker(), "-A", app, "worker", "-Q", "runs.laed")
    assert result.returncode == 2
    assert "There is no queue 'runs.laed'" in result.stderr
    assert "agent.copywriter, agent.rag, muster, runs.lead" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_products_own_app_is_found_as_worker(new_broker: Callable[[], Broker]) -> None:
    result = celery(new_broker(), "-A", "worker", "report")
    assert result.returncode == 0, result.stderr
    assert "worker.pool.asyncio_pool:TaskPool" in result.stdout
