"""A run that hangs its workers or eats their memory ends as dead; one only paused lives."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import redis

from tests.rig.cluster import FLOWS, Cluster, all_ended, events_of, states
from tests.rig.poison_flows import MEGABYTE, MemoryLimit
from tests.services.waiting import wait_until
from worker.engine.watchdog import EXIT_CODE

WORKERS = 2
INNOCENT = 10
HOARDERS = {"MUSTER_INCLUDE": f"{FLOWS},tests.rig.poison_flows"}
LIMIT = 400 * MEGABYTE


@pytest.fixture
def cluster(tmp_path: Path, redis_url: str) -> Iterator[Cluster]:
    redis.Redis.from_url(redis_url).flushall()
    made = Cluster(tmp_path, redis_url, f"sqlite:///{tmp_path}/journal.sqlite3")
    try:
        yield made
    finally:
        made.stop()


def _supervise(cluster: Cluster, environment: Mapping[str, str] | None = None) -> None:
    """Start a worker for each that ended, as a container's restart policy does."""
    living = [worker for worker in cluster.workers if worker.alive]
    for _ in range(WORKERS - len(living)):
        cluster.start(wait=False, environment=environment)


@pytest.mark.timeout(280)
@pytest.mark.parametrize("queued", [False, True], ids=["inline", "queued"])
def test_a_run_that_hangs_its_workers_is_dead_and_others_go_on(
    cluster: Cluster, queued: bool, figure: Callable[[str], None]
) -> None:
    for _ in range(WORKERS):
        cluster.start()
    with cluster.client() as muster:
        begun = time.monotonic()
        bad = muster.enqueue("poisoned", {"how": "loop", "queued": queued})
        good = [muster.enqueue("ticks", {"name": str(n)}) for n in range(INNOCENT)]

        def ended() -> bool:
            _supervise(cluster)
            return all_ended(muster, INNOCENT + 1)

        wait_until(ended, 240, "all runs have ended")
        seconds = time.monotonic() - begun
        assert bad.status() == "dead"
        assert [run.status() for run in good] == ["succeeded"] * INNOCENT
        last = events_of(muster, bad.id)[-1]
    assert last.type == "run.dead"
    assert json.loads(last.data)["code"] == "LOST_TOO_OFTEN"
    died = [worker for worker in cluster.workers if not worker.alive]
    assert {worker.process.returncode for worker in died} == {EXIT_CODE}
    for worker in died:
        log = worker.log.read_text()
        assert "worker.loop_stuck" in log
        assert "traced_flows.py" in log, "it says where"
    hung = {line["pid"] for line in cluster.trace() if line["run"] == bad.id}
    wait_until(lambda: not any(_lives(pid) for pid in hung), 30, "no process still hangs")
    figure(f"hanging run dead after {seconds:.0f} s; it cost {len(died)} workers of {len(hung)}")


@pytest.mark.timeout(240)
@pytest.mark.parametrize("queued", [False, True], ids=["inline", "queued"])
def test_a_run_that_eats_the_memory_of_its_workers_is_dead_and_others_go_on(
    cluster: Cluster, queued: bool, figure: Callable[[str], None]
) -> None:
    """A step of the innocent is shorter than the meal: nobody is suspected for his neighbour."""
    for _ in range(WORKERS):
        cluster.start(environment=HOARDERS)
    with cluster.client() as muster, MemoryLimit(cluster, LIMIT) as limit:
        good = [
            muster.enqueue("ticks", {"name": str(n), "steps": 50, "seconds": 0.2})
            for n in range(INNOCENT)
        ]
        wait_until(lambda: len(cluster.trace()) > 2 * INNOCENT, 60, "the innocent are at work")
        begun = time.monotonic()
        bad = muster.enqueue("hoarding", {"queued": queued})

        def ended() -> bool:
            _supervise(cluster, HOARDERS)
            return all_ended(muster, INNOCENT + 1)

        wait_until(lambda: bad.status() == "dead" or ended(), 120, "the run is dead")
        seconds = time.monotonic() - begun
        wait_until(ended, 120, "all runs have ended")
        assert bad.status() == "dead"
        assert [run.status() for run in good] == ["succeeded"] * INNOCENT
        last = events_of(muster, bad.id)[-1]
        met = sum(event.type == "run.lost" for run in good for event in events_of(muster, run.id))
    assert last.type == "run.dead"
    assert json.loads(last.data)["code"] == "LOST_TOO_OFTEN"
    executed = [line["pid"] for line in cluster.trace() if line["run"] == bad.id]
    assert len(executed) == 3
    assert set(executed) == set(limit.killed), "each of them, and nobody else, was killed"
    died = [worker for worker in cluster.workers if not worker.alive]
    assert [worker.process.returncode for worker in died] == [-signal.SIGKILL] * 2
    assert met, "no innocent run was on a worker that died: the test proved nothing"
    most = max(limit.killed.values()) / MEGABYTE
    figure(f"hoarding run dead after {seconds:.0f} s; killed at up to {most:.0f} MB; {met} met it")


@pytest.mark.timeout(120)
def test_a_paused_worker_does_not_end_itself(cluster: Cluster, database: str) -> None:
    cluster.database_url = database  # paused in the midst of a write, it would hold SQLite's lock
    worker = cluster.start()
    with cluster.client() as muster:
        runs = [muster.enqueue("ticks", {"name": str(n), "steps": 3}) for n in range(5)]
        wait_until(lambda: len(cluster.trace()) > 5, 60, "work is under way")
        for _ in range(2):
            worker.signal(signal.SIGSTOP)
            time.sleep(3 * cluster.lease_seconds)  # the fault itself
            worker.signal(signal.SIGCONT)
        wait_until(lambda: all_ended(muster, len(runs)), 60, "all runs have ended")
        assert states(muster) == {"succeeded": len(runs)}
    assert worker.alive
    assert "worker.loop_stuck" not in worker.log.read_text()


def _lives(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except FileNotFoundError:
        return False
