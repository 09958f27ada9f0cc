"""What real workers tell Prometheus, under each kind of pool, whatever is away."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import redis

from control import Muster
from tests.rig.cluster import Cluster, WorkerHandle
from tests.rig.scraping import metrics_url, scraped, scraped_text
from tests.services.ports import free_port
from tests.services.prometheus_server import program
from tests.services.redis_server import PrivateRedis
from tests.services.waiting import wait_until
from worker.telemetry.catalogue import CLUSTER

FLOWS = "tests.rig.telemetry_flows"


@pytest.fixture
def cluster(tmp_path: Path, redis_url: str) -> Iterator[Cluster]:
    redis.Redis.from_url(redis_url).flushall()
    made = Cluster(tmp_path, redis_url, f"sqlite:///{tmp_path}/journal.sqlite3")
    try:
        yield made
    finally:
        made.stop()


def start(cluster: Cluster, *options: str, **more: str) -> WorkerHandle:
    environment = {"MUSTER_INCLUDE": FLOWS, "MUSTER_METRICS_PORT": str(free_port()), **more}
    return cluster.start(*options, environment=environment)


def run_some(cluster: Cluster, count: int, *, fail: bool = False) -> None:
    settings = cluster.settings.model_copy(update={"include": (FLOWS,)})
    ended = {"succeeded", "failed"}
    with Muster(settings) as muster:
        runs = [muster.enqueue("seen", {"fail": fail}) for _ in range(count)]
        wait_until(lambda: all(run.status() in ended for run in runs), 90, "the runs ended")


def succeeded(worker: WorkerHandle) -> float:
    return scraped(worker).get("muster_runs_ended_total seen succeeded", 0)


def children(worker: WorkerHandle) -> list[int]:
    command = ["ps", "-o", "pid=", "--ppid", str(worker.process.pid)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    return [int(pid) for pid in told.stdout.split()]


def checked(text: str) -> None:
    done = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")


@pytest.mark.timeout(180)
def test_a_worker_tells_what_it_did(cluster: Cluster) -> None:
    worker = start(cluster)
    run_some(cluster, 5)
    run_some(cluster, 2, fail=True)
    told = scraped(worker)
    assert told["muster_runs_ended_total seen succeeded"] == 5
    assert told["muster_runs_ended_total seen failed"] == 2
    assert told["muster_step_retries_total seen-far"] == 5
    assert told["muster_step_failures_total seen-broken SEEN_BROKEN"] == 2
    assert told["muster_step_seconds_count seen-here succeeded"] == 7
    assert told["muster_step_wait_seconds_count seen-far"] == 5
    assert told["muster_llm_request_seconds_count offline-composer-1 succeeded"] == 7
    assert told["muster_permit_wait_seconds_count seen-here"] == 7
    assert told["muster_journal_commit_seconds_count"] > 0
    assert told["muster_event_lag_seconds_count"] > 0
    assert told["celery_worker_up test"] == 1
    # At least: a reconciler that looks between a send and its note sends once more, without effect.
    assert told["celery_task_succeeded_total test run.seen runs.seen"] >= 5
    assert told["celery_task_failed_total Unsuccessful test run.seen runs.seen"] == 2
    assert told["celery_task_sent_total test agent.seen-far agent.seen-far"] >= 5
    assert told["celery_task_runtime_count test agent.seen-far agent.seen-far"] == 5
    assert told["muster_up journal"] == told["muster_up redis"] == 1
    assert told["muster_workers alive"] == 1
    assert told["muster_permits_limit seen-far"] == 4
    assert told["muster_cache_misses_total model seen-parrot"] == 1
    assert told["muster_cache_hits_total model seen-parrot"] == 6
    assert told["muster_cache_hits_total step seen-kept"] == 5, "those that fail ask another thing"
    names = {name.split()[0] for name in told}
    sometimes = {"muster_oldest_due_seconds"}
    assert told["muster_dead_letters seen failed"] == 2
    assert {metric.exposed for metric in CLUSTER} - names <= sometimes
    checked(scraped_text(worker))
    health = httpx2.get(metrics_url(worker).replace("/metrics", "/healthz"))
    assert (health.status_code, health.text) == (200, "ok\n")


@pytest.mark.timeout(120)
def test_pictures_and_vectors_are_told_by_model(cluster: Cluster) -> None:
    worker = start(cluster)
    settings = cluster.settings.model_copy(update={"include": (FLOWS,)})
    with Muster(settings) as muster:
        assert muster.enqueue("seen-made", {}).result(60).status == "success"
    told = scraped(worker)
    for model in ("offline-banner-1", "offline-hashing-1"):
        assert told[f"muster_llm_request_seconds_count {model} succeeded"] == 1, model


@pytest.mark.timeout(180)
def test_children_of_a_prefork_pool_are_summed_up(cluster: Cluster) -> None:
    worker = start(cluster, "-P", "prefork", "-c", "2")
    run_some(cluster, 6)
    wait_until(lambda: succeeded(worker) == 6, 20, "all children's runs are counted")
    told = scraped(worker)
    assert told["muster_step_seconds_count seen-here succeeded"] == 6
    assert told["muster_runs_held"] == 0
    checked(scraped_text(worker))
    [child, *_] = children(worker)
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: child not in children(worker), 30, "the child is gone")
    run_some(cluster, 2)
    wait_until(lambda: succeeded(worker) == 8, 20, "what a dead child counted stays")
    [folder] = (cluster.folder / "home" / "metrics").iterdir()
    worker.terminate()
    assert not folder.exists()


@pytest.mark.timeout(120)
def test_other_pools_tell_the_same(cluster: Cluster) -> None:
    worker = start(cluster, "-P", "threads", "-c", "4")
    run_some(cluster, 3)
    assert scraped(worker)["muster_runs_ended_total seen succeeded"] == 3


@pytest.mark.timeout(120)
def test_two_workers_of_one_machine_have_a_port_each(cluster: Cluster) -> None:
    port = str(free_port())
    one, two = (start(cluster, MUSTER_METRICS_PORT=port) for _ in range(2))
    assert metrics_url(one) != metrics_url(two)
    assert scraped(two)["muster_workers alive"] == 2


@pytest.mark.timeout(120)
def test_port_0_serves_none(cluster: Cluster) -> None:
    worker = start(cluster, MUSTER_METRICS_PORT="0")
    run_some(cluster, 1)
    assert "metrics.served" not in worker.log.read_text()


@pytest.mark.timeout(120)
def test_a_scrape_answers_while_redis_is_away(tmp_path: Path) -> None:
    server = PrivateRedis().start()
    cluster = Cluster(tmp_path, server.url, f"sqlite:///{tmp_path}/journal.sqlite3")
    try:
        worker = start(cluster)
        assert scraped(worker)["muster_up redis"] == 1
        server.kill()
        told = wait_until(
            lambda: figures if (figures := scraped(worker))["muster_up redis"] == 0 else None,
            60,
            "it is noticed",
        )
        assert told["muster_up journal"] == 1
        assert "muster_workers alive" in told
        assert "celery_queue_length runs.seen" not in told
    finally:
        cluster.stop()
        server.close()
