"""A real worker process, and what a test does with it from outside."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from worker.app import MusterCelery, configure

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = float(os.environ.get("PROBE_DEADLINE", "30"))


def until(condition: Callable[[], Any], *, what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """Waits until the condition holds and returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {seconds:g} s in vain: {what}")
        time.sleep(0.02)
    return value


class Broker:
    """One database of Redis, with an app that sends to it and reads the traces left in it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.redis = redis.Redis.from_url(url, decode_responses=True)
        self.redis.flushdb()
        self.app = MusterCelery("sender", set_as_current=False)
        configure(self.app, url)

    def close(self) -> None:
        self.app.close()
        self.redis.close()

    def send(self, task: str, *args: Any, **options: Any) -> str:
        return str(self.app.send_task(task, args, **options).id)

    def traces(self, what: str) -> list[dict[str, Any]]:
        rows = (json.loads(row) for row in self.redis.lrange("trace", 0, -1))
        return [row for row in rows if row["what"] == what]

    def signals(self, task: str) -> list[str]:
        return [row["signal"] for row in self.traces("signal") if row["task"] == task]

    def unacknowledged(self) -> int:
        return int(self.redis.hlen("unacked"))

    def settled(self) -> bool:
        """No message waits and none is unacknowledged."""
        return self.unacknowledged() == 0 and self.redis.llen("muster") == 0

    def forget(self) -> None:
        self.redis.delete("trace", "naps", "napped", "hanging", "cancelled", "waited")


class WorkerProcess:
    """A worker started by the command line that users type."""

    def __init__(self, broker: Broker, log: Path, *flags: str, **environment: str) -> None:
        self.log = log
        command = [sys.executable, "-m", "celery", "-A", "tests.integration.celery_probe.app"]
        command += ["worker", "-l", "INFO", "--without-mingle", "--without-gossip", *flags]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PROBE_REDIS_URL": broker.url, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self) -> "WorkerProcess":
        until(lambda: self.says(" ready.") or self.ended, what=f"worker ready, see {self.log}")
        assert not self.ended, self.log.read_text()
        return self

    def says(self, text: str) -> bool:
        return text in self.log.read_text()

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = DEADLINE_SECONDS) -> int:
        return self._process.wait(seconds)

    def kill(self) -> None:
        """Kills the worker and its children: its session is its own."""
        if not self.ended:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
