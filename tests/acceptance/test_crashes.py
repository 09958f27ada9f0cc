"""Workers are killed, Redis is flushed, messages come twice: every run still ends as it should."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from control import Run
from tests.rig.cluster import (
    Cluster,
    all_ended,
    events_of,
    repeated_after_commit,
    resume_gaps,
    states,
)
from tests.rig.faults.rules_steps import NOTICE_SECONDS
from tests.services.waiting import wait_until

SEED = 20_261_121


@pytest.fixture
def cluster(tmp_path: Path, redis_url: str) -> Iterator[Cluster]:
    redis.Redis.from_url(redis_url).flushall()
    made = Cluster(tmp_path, redis_url, f"sqlite:///{tmp_path}/journal.sqlite3")
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.timeout(280)
@pytest.mark.parametrize("queued", [False, True], ids=["inline-sqlite", "queued-postgres"])
def test_ten_killed_workers_cost_no_run_and_repeat_no_committed_step(
    cluster: Cluster,
    queued: bool,
    figure: Callable[[str], None],
    request: pytest.FixtureRequest,
) -> None:
    if queued:
        cluster.database_url = request.getfixturevalue("database")
    chance = random.Random(SEED)
    for _ in range(2):
        cluster.start()
    kills: list[float] = []
    with cluster.client() as muster:
        runs: list[Run] = []
        while len(kills) < 10:
            if all_ended(muster, len(runs)):  # forty runs may be done before ten kills are
                wanted = [{"name": f"run {number}", "queued": queued} for number in range(40)]
                runs += [muster.enqueue("ticks", payload) for payload in wanted]
            wait_until(lambda: len(cluster.ready()) > 1, 60, "two workers are ready")
            time.sleep(chance.uniform(0.5, 2.0))  # the fault's own rhythm
            chance.choice(cluster.ready()).kill()
            kills.append(time.time())
            cluster.start(wait=False)
        wait_until(lambda: all_ended(muster, len(runs)), 180, "all runs have ended")
        assert states(muster) == {"succeeded": len(runs)}
        assert repeated_after_commit(cluster, muster) == []
        gaps = sorted(gap for run in runs for gap in resume_gaps(events_of(muster, run.id), kills))
    assert gaps, "no kill hit a run: the test proved nothing"
    figure(
        f"seed {SEED}: {len(kills)} kills hit runs {len(gaps)} times; from the kill to "
        f"resumed work: median {gaps[len(gaps) // 2]:.1f} s, longest {gaps[-1]:.1f} s "
        f"(lease {cluster.lease_seconds} s)"
    )


@pytest.mark.timeout(180)
def test_a_flushed_redis_costs_no_run(cluster: Cluster, redis_url: str) -> None:
    cluster.start()
    cluster.start()
    with cluster.client() as muster:
        runs = [
            muster.enqueue(
                "ticks", {"name": str(n), "steps": 3, "seconds": 0.5, "queued": n % 2 == 0}
            )
            for n in range(100)
        ]
        wait_until(lambda: len(cluster.trace()) > 50, 60, "work is under way")
        redis.Redis.from_url(redis_url).flushall()
        wait_until(lambda: all_ended(muster, len(runs)), 120, "all runs have ended")
        assert states(muster) == {"succeeded": len(runs)}
        assert repeated_after_commit(cluster, muster) == []


@pytest.mark.timeout(120)
def test_every_message_twice_changes_nothing(cluster: Cluster, redis_url: str) -> None:
    broker = redis.Redis.from_url(redis_url)
    with cluster.client() as muster:
        runs = [
            muster.enqueue("ticks", {"name": str(n), "steps": 2, "seconds": 0.1}) for n in range(20)
        ]
        queues = [key for key in broker.keys("runs.ticks*") if broker.type(key) == b"list"]
        for queue in queues:
            for message in broker.lrange(queue, 0, -1):
                broker.lpush(queue, message)
        assert sum(int(broker.llen(queue)) for queue in queues) == 40
        cluster.start()
        wait_until(lambda: all_ended(muster, len(runs)), 60, "all runs have ended")
        assert states(muster) == {"succeeded": 20}
        wait_until(lambda: not any(broker.llen(queue) for queue in queues), 30, "all consumed")
        for run in runs:
            kinds = [event.type for event in events_of(muster, run.id)]
            assert kinds.count("run.started") == 1
        starts = [line for line in cluster.trace() if line["what"] == "start"]
        assert len(starts) == 40


@pytest.mark.timeout(180)
@pytest.mark.parametrize("queued", [False, True], ids=["inline", "queued"])
def test_a_poison_run_is_dead_after_three_losses_and_others_go_on(
    cluster: Cluster, queued: bool
) -> None:
    cluster.start()
    with cluster.client() as muster:
        bad = muster.enqueue("poisoned", {"how": "exit", "queued": queued})
        good = [
            muster.enqueue("ticks", {"name": str(n), "steps": 8, "seconds": 1}) for n in range(5)
        ]

        def ended() -> bool:
            if not any(worker.alive for worker in cluster.workers):
                cluster.start()
            return all_ended(muster, 6)

        wait_until(ended, 120, "all runs have ended")
        assert bad.status() == "dead"
        assert [run.status() for run in good] == ["succeeded"] * 5
        starts = [line for line in cluster.trace() if line["run"] == bad.id]
        assert len(starts) == 3
        assert events_of(muster, bad.id)[-1].type == "run.dead"
        assert len([worker for worker in cluster.workers if not worker.alive]) == 2


@pytest.mark.timeout(120)
def test_a_stopped_worker_gives_its_runs_back_at_once(cluster: Cluster) -> None:
    first = cluster.start()
    with cluster.client() as muster:
        runs = [muster.enqueue("ticks", {"name": str(n), "steps": 6}) for n in range(10)]
        wait_until(lambda: len(cluster.trace()) > 20, 60, "work is under way")
        assert first.terminate() == 0
        assert {str(run.state) for run in muster.runs()} <= {"queued", "succeeded"}
        assert max(run.losses for run in muster.runs()) == 0
        cluster.start()
        wait_until(lambda: all_ended(muster, len(runs)), 60, "all runs have ended")
        assert states(muster) == {"succeeded": 10}
        assert repeated_after_commit(cluster, muster) == []


@pytest.mark.timeout(120)
def test_a_paused_worker_s_late_writes_are_refused(cluster: Cluster, database: str) -> None:
    cluster.database_url = database  # paused in the midst of a write, it would hold SQLite's lock
    zombie = cluster.start()
    with cluster.client() as muster:
        runs = [muster.enqueue("ticks", {"name": str(n)}) for n in range(10)]
        wait_until(lambda: len(cluster.trace()) > 15, 60, "work is under way")
        zombie.signal(signal.SIGSTOP)
        cluster.start()
        wait_until(lambda: all_ended(muster, len(runs)), 60, "all runs have ended")
        woken = time.time()
        zombie.signal(signal.SIGCONT)
        wait_until(
            lambda: "run.dropped" in zombie.log.read_text(), 30, "the zombie's write is refused"
        )
        assert states(muster) == {"succeeded": 10}

        def could_not_know(line: dict[str, Any]) -> bool:
            """It was paused between "I may begin" and beginning: nobody can stop that."""
            noticed = woken + cluster.heartbeat_seconds + NOTICE_SECONDS
            return line["pid"] == zombie.process.pid and woken <= line["at"] <= noticed

        assert repeated_after_commit(cluster, muster, excused=could_not_know) == []


@pytest.mark.timeout(120)
def test_a_thousand_waiting_steps_fit_in_one_process(
    cluster: Cluster, figure: Callable[[str], None]
) -> None:
    worker = cluster.start()
    with cluster.client() as muster:
        begun = time.monotonic()
        run = muster.enqueue("fan", {"name": "wide", "steps": 1_000, "seconds": 1})
        made = run.result(timeout=90)
        seconds = time.monotonic() - begun
        assert made.records[0].data == {"steps": 1_000}
        status = Path(f"/proc/{worker.process.pid}/status")
        peak = _megabytes(status.read_text()) if status.exists() else float("nan")
    figure(f"1,000 steps of 1 s in one process: {seconds:.1f} s, peak {peak:.0f} MB")


def _megabytes(status: str) -> float:
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024
