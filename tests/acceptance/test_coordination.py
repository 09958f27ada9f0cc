"""Many workers as one system: limits of the cluster, waiting, singletons, cancellation."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from control import Run
from tests.rig.cluster import Cluster, all_ended, events_of, repeated_after_commit, states
from tests.rig.key_catalogue import unknown_keys
from tests.services.waiting import wait_until

LIMIT = 3


@pytest.fixture
def cluster(tmp_path: Path, redis_url: str, database: str) -> Iterator[Cluster]:
    redis.Redis.from_url(redis_url).flushall()
    made = Cluster(tmp_path, redis_url, database)
    try:
        yield made
    finally:
        made.stop()


def most_at_once(lines: list[dict[str, Any]]) -> int:
    """Return how many executions overlapped; those of a killed process, which left no end, do not
    count: nobody knows how long they lasted.
    """
    ends = {_execution(line): line["at"] for line in lines if line["what"] == "end"}
    begun = [line for line in lines if line["what"] == "start" and _execution(line) in ends]
    changes = [(line["at"], 1) for line in begun]
    changes += [(ends[_execution(line)], -1) for line in begun]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


def _execution(line: dict[str, Any]) -> tuple[Any, ...]:
    """A step that is taken over may be executed under the same attempt by another process."""
    return line["run"], line["step"], line["attempt"], line["pid"]


def steps_of(cluster: Cluster, run: Run) -> int:
    return sum(line["run"] == run.id and line["what"] == "start" for line in cluster.trace())


@pytest.mark.timeout(180)
def test_a_limit_holds_for_the_cluster_through_a_flush_and_a_kill(
    cluster: Cluster, redis_url: str
) -> None:
    first, _ = cluster.start(), cluster.start()
    with cluster.client() as muster:
        runs = [
            muster.enqueue(
                "squeezed",
                {"name": str(number), "steps": 15, "seconds": 0.2, "queued": number % 2 == 0},
            )
            for number in range(4)
        ]
        wait_until(lambda: len(cluster.trace()) > 20, 60, "the narrow agents work")
        assert unknown_keys(redis.Redis.from_url(redis_url, decode_responses=True).keys()) == []
        redis.Redis.from_url(redis_url).flushall()
        wait_until(lambda: len(cluster.trace()) > 50, 60, "they work on after the flush")
        first.kill()
        wait_until(lambda: all_ended(muster, len(runs)), 90, "all runs have ended")
        assert states(muster) == {"succeeded": 4}
        assert repeated_after_commit(cluster, muster) == []
        agents = {(run.id, step.step): step.agent for run in runs for step in run.steps()}
        for name in ("narrow", "far-narrow"):
            lines = [line for line in cluster.trace() if agents[line["run"], line["step"]] == name]
            assert 1 < most_at_once(lines) <= LIMIT


@pytest.mark.timeout(180)
def test_a_waiting_run_outlives_every_worker(cluster: Cluster) -> None:
    worker = cluster.start()
    with cluster.client() as muster:
        run = muster.enqueue("patient", {"name": "x", "seconds": 6})
        wait_until(lambda: run.status() == "waiting", 30, "the run has left its worker")
        worker.kill()
        cluster.start()
        wait_until(lambda: _waits_for(run, "signals"), 60, "it waits for its signal")
        cluster.workers[-1].kill()
        assert run.signal("go on", "hello").woken
        cluster.start()
        made = run.result(timeout=60)
        assert made.records[0].data == {"word": "hello"}
        kinds = [event.type for event in events_of(muster, run.id)]
        assert kinds.count("run.waiting") == kinds.count("run.woken") >= 2
        assert "run.lost" not in kinds
        assert steps_of(cluster, run) == 1


def _waits_for(run: Run, what: str) -> bool:
    waits = run.row().waits
    return waits is not None and bool(getattr(waits, what))


@pytest.mark.timeout(120)
def test_a_cancelled_step_stops_on_another_worker_and_the_run_undoes_its_work(
    cluster: Cluster,
) -> None:
    cluster.start("-Q", "runs.*")
    agents = cluster.start("-Q", "agent.*")
    with cluster.client() as muster:
        run = muster.enqueue(
            "undone", {"name": "x", "steps": 3, "seconds": 60, "queued": True}, user="u"
        )
        wait_until(lambda: steps_of(cluster, run) == 1, 60, "the step runs on the agents' worker")
        begun = time.monotonic()
        run.cancel(reason="enough")
        wait_until(lambda: run.status() == "cancelled", 30, "the run is cancelled")
        assert time.monotonic() - begun < 20
        lines = [line["what"] for line in cluster.trace() if line["run"] == run.id]
        assert lines == ["start", "start", "end"]
        assert agents.alive
        step = next(step for step in run.steps() if step.step == "undo")
        assert step.kind == "undo"


@pytest.mark.timeout(120)
def test_runs_of_one_key_go_one_after_the_other(cluster: Cluster, redis_url: str) -> None:
    cluster.start()
    cluster.start()
    with cluster.client() as muster:
        runs = [
            muster.enqueue("alone", {"name": str(n), "steps": 2, "seconds": 0.2}, user="ada:*")
            for n in range(6)
        ]
        other = muster.enqueue("alone", {"name": "other", "steps": 2, "seconds": 0.2}, user="bob")
        other.result(timeout=60)
        assert unknown_keys(redis.Redis.from_url(redis_url, decode_responses=True).keys()) == []
        wait_until(lambda: all_ended(muster, 7), 90, "all runs have ended")
        mine = {run.id for run in runs}
        assert most_at_once([line for line in cluster.trace() if line["run"] in mine]) == 1
        starts = [
            line["run"]
            for line in cluster.trace()
            if line["what"] == "start" and line["run"] in mine
        ]
        assert list(dict.fromkeys(starts)) == [run.id for run in runs]


@pytest.mark.timeout(180)
def test_ten_thousand_items_pass_through_a_narrow_window(
    cluster: Cluster, figure: Callable[[str], None]
) -> None:
    worker = cluster.start()
    status = Path(f"/proc/{worker.process.pid}/status")
    before = _peak_megabytes(status)
    with cluster.client() as muster:
        begun = time.monotonic()
        run = muster.enqueue("streamed", {"name": "wide", "steps": 10_000})
        made = run.result(timeout=150)
        seconds = time.monotonic() - begun
        assert made.records[0].data == {"good": 9_990, "bad": 10}
        told = [json.loads(e.data) for e in events_of(muster, run.id) if e.type == "map.progress"]
        assert [entry["done"] for entry in told] == list(range(500, 10_001, 500))
    grown = _peak_megabytes(status) - before
    figure(f"10,000 items in {seconds:.1f} s; the worker's peak grew by {grown:.0f} MB")


def _peak_megabytes(status: Path) -> float:
    if not status.exists():
        return float("nan")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
