"""The engine under each of Celery's pools: the same runs, the same results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from envelope.errors import RunFailed
from tests.rig.cluster import Cluster, events_of
from tests.rig.traced_flows import TOGETHER


@pytest.fixture
def cluster(tmp_path: Path, redis_url: str) -> Iterator[Cluster]:
    redis.Redis.from_url(redis_url).flushall()
    made = Cluster(tmp_path, redis_url, f"sqlite:///{tmp_path}/journal.sqlite3")
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "options",
    [("-P", "prefork", "-c", "2"), ("-P", "threads", "-c", "2"), ("-P", "solo")],
    ids=" ".join,
)
def test_runs_succeed_under_every_pool(cluster: Cluster, options: tuple[str, ...]) -> None:
    worker = cluster.start(*options)
    with cluster.client() as muster:
        runs = [
            muster.enqueue("ticks", {"name": str(n), "steps": 2, "seconds": 0.1, "queued": queued})
            for n, queued in enumerate([False, True, False, True])
        ]
        for run in runs:
            assert len(run.result(timeout=60).records) == 2
            assert events_of(muster, run.id)[-1].type == "run.succeeded"
    assert worker.terminate() == 0


@pytest.mark.timeout(120)
def test_plain_functions_run_side_by_side_as_their_agents_limit_says(cluster: Cluster) -> None:
    cluster.start()
    with cluster.client() as muster:
        met = muster.enqueue("meeting", {"name": "all", "steps": 1, "seconds": 0.0})
        assert met.result(timeout=60).records[0].data == {"met": TOGETHER}


@pytest.mark.timeout(120)
def test_celery_s_own_lines_name_run_step_and_trace(cluster: Cluster) -> None:
    worker = cluster.start()
    with cluster.client() as muster:
        run = muster.enqueue("ticks", {"name": "seen", "steps": 1, "seconds": 0.0, "queued": True})
        run.result(timeout=60)
        trace_id = run.row().trace_id
    assert worker.terminate() == 0
    lines = [json.loads(line) for line in worker.log.read_text().splitlines() if line[:1] == "{"]
    told = [line for line in lines if "task_id" in line]
    assert {line["task"] for line in told} == {"run.ticks", "agent.far-tick"}
    assert {(line["run"], line["trace_id"]) for line in told} == {(run.id, trace_id)}
    assert all("step" in line for line in told if line["task"] == "agent.far-tick")


@pytest.mark.timeout(120)
def test_to_celery_a_failed_run_is_a_failed_task_and_no_surprise(cluster: Cluster) -> None:
    worker = cluster.start()
    with cluster.client() as muster:
        run = muster.enqueue("failing", {"name": "bad", "steps": 1, "seconds": 0.0})
        with pytest.raises(RunFailed):
            run.result(timeout=60)
        retried = [event for event in events_of(muster, run.id) if event.type == "step.started"]
        assert len(retried) == 1
    assert worker.terminate() == 0
    lines = [json.loads(line) for line in worker.log.read_text().splitlines() if line[:1] == "{"]
    told = [line for line in lines if "raised expected: Unsuccessful" in line["event"]]
    assert {line["task"] for line in told} == {"run.failing", "agent.far-failure"}
    assert {line["run"] for line in told} == {run.id}
    assert {line["level"] for line in told} == {"info"}
    assert not any("cannot be done" in line["event"] for line in told)
