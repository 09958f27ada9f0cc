"""A run that hangs its workers ends as dead, and a worker that was only paused lives."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.rig.cluster import Cluster, all_ended, events_of, states
from tests.services.waiting import wait_until
from worker.engine.watchdog import EXIT_CODE

WORKERS = 2
INNOCENT = 10


@pytest.fixture
def cluster(tmp_path: Path, redis_url: str) -> Iterator[Cluster]:
    redis.Redis.from_url(redis_url).flushall()
    made = Cluster(tmp_path, redis_url, f"sqlite:///{tmp_path}/journal.sqlite3")
    try:
        yield made
    finally:
        made.stop()


def _supervise(cluster: Cluster) -> None:
    """Start a worker for each that ended, as a container's restart policy does."""
    living = [worker for worker in cluster.workers if worker.alive]
    for _ in range(WORKERS - len(living)):
        cluster.start(wait=False)


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
