"""Real worker processes over a real Redis and database, to be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from control import Muster
from envelope.ports.journal_rows import TERMINAL_STATES, Event
from tests.rig.traced_flows import TRACE_VARIABLE
from tests.services.waiting import wait_until
from worker.settings import Settings

ROOT = Path(__file__).parents[2]
FLOWS = "tests.rig.traced_flows"
START_SECONDS = 60.0


@dataclass
class WorkerHandle:
    """A `celery -A worker worker` in a process group of its own."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """SIGKILL the whole group, as an out-of-memory killer or a lost machine would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> int:
        """Ask for a warm shutdown and wait for it."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_SECONDS)

    def signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


@dataclass
class Cluster:
    """Everything that a test of crashes needs."""

    folder: Path
    redis_url: str
    database_url: str
    lease_seconds: float = 3.0
    heartbeat_seconds: float = 1.0
    workers: list[WorkerHandle] = field(default_factory=list)
    started: int = 0

    @property
    def trace_file(self) -> Path:
        return self.folder / "trace.jsonl"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "MUSTER_REDIS_URL": self.redis_url,
            "MUSTER_DATABASE_URL": self.database_url,
            "MUSTER_HOME": str(self.folder / "home"),
            "MUSTER_INCLUDE": FLOWS,
            "MUSTER_LEASE_SECONDS": str(self.lease_seconds),
            "MUSTER_HEARTBEAT_SECONDS": str(self.heartbeat_seconds),
            "PYTHONPATH": str(ROOT),
            TRACE_VARIABLE: str(self.trace_file),
        }

    @property
    def settings(self) -> Settings:
        return Settings(
            redis_url=self.redis_url,
            database_url=self.database_url,
            home=self.folder / "home",
            include=(FLOWS,),
            lease_seconds=self.lease_seconds,
            heartbeat_seconds=self.heartbeat_seconds,
        )

    def start(
        self, *options: str, wait: bool = True, environment: Mapping[str, str] | None = None
    ) -> WorkerHandle:
        """Start a worker; return when it consumes. `environment` adds to that of the cluster."""
        self.started += 1
        name = f"w{self.started}"
        log = self.folder / f"{name}.log"
        command = [sys.executable, "-m", "celery", "-A", "worker", "worker", "-n", f"{name}@test"]
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, *options],
                cwd=ROOT,
                env={**self.environment, **(environment or {})},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        handle = WorkerHandle(name, process, log)
        self.workers.append(handle)
        if wait:
            wait_until(lambda: self.is_ready(handle), START_SECONDS, f"{name} is ready")
        return handle

    def is_ready(self, handle: WorkerHandle) -> bool:
        text = handle.log.read_text(errors="replace")
        assert handle.alive, f"{handle.name} ended:\n{text[-3000:]}"
        return " ready." in text

    def ready(self) -> list[WorkerHandle]:
        """Return the living workers that consume."""
        return [worker for worker in self.workers if worker.alive and self.is_ready(worker)]

    def trace(self) -> list[dict[str, Any]]:
        """Return the lines that agents left."""
        if not self.trace_file.exists():
            return []
        return [json.loads(line) for line in self.trace_file.read_text().splitlines()]

    @contextmanager
    def client(self) -> Iterator[Muster]:
        with Muster(self.settings) as muster:
            yield muster

    def stop(self) -> None:
        for worker in self.workers:
            if worker.alive:
                worker.kill()


def states(muster: Muster, limit: int = 5_000) -> dict[str, int]:
    """Return how many runs are in each state."""
    counted: dict[str, int] = {}
    for run in muster.runs(limit=limit):
        counted[str(run.state)] = counted.get(str(run.state), 0) + 1
    return counted


def all_ended(muster: Muster, count: int) -> bool:
    """Return whether `count` runs have reached a terminal state."""
    return sum(states(muster).get(str(state), 0) for state in TERMINAL_STATES) >= count


def events_of(muster: Muster, run_id: str) -> list[Event]:
    """Return an ended run's events, having seen that they are whole."""
    events = list(muster.get(run_id).events())
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    return events


def repeated_after_commit(
    cluster: Cluster,
    muster: Muster,
    *,
    excused: Callable[[dict[str, Any]], bool] = lambda _line: False,
) -> list[str]:
    """Return each execution that began after its step's result was committed, and has no excuse."""
    committed = {
        (event.run_id, event.step): event.at
        for run in muster.runs(limit=5_000)
        for event in events_of(muster, run.run_id)
        if event.type == "step.succeeded"
    }
    return [
        f"{line['run']} {line['step']} attempt {line['attempt']}"
        for line in cluster.trace()
        if line["what"] == "start" and line["at"] > committed.get((line["run"], line["step"]), 1e18)
        if not excused(line)
    ]


def resume_gaps(events: list[Event], kills: list[float]) -> list[float]:
    """Return, for each time that a run was lost, the seconds from the kill to resumed work."""
    gaps, lost = [], 0.0
    for event in events:
        if event.type == "run.lost":
            lost = event.at
        elif event.type == "run.resumed" and lost:
            gaps.append(event.at - max(kill for kill in kills if kill < lost))
            lost = 0.0
    return gaps
