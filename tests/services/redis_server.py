"""A private Redis that a test may pause, kill and start again on the same port."""

import shutil
import signal
import tempfile
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tests.services.child import Child
from tests.services.ports import free_port
from tests.services.waiting import wait_until
from worker.embedded.binary import server_binary

_START_SECONDS = 20.0


class PrivateRedis:
    """A real server on a random loopback port, data in a temporary folder, append-only file on."""

    def __init__(self, *options: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="muster-redis-"))
        self._options = options
        self._child: Child | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> "PrivateRedis":
        command = [str(server_binary()), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._folder), "--appendonly", "yes", "--save", ""]
        command += ["--databases", "64", *self._options]
        log = self._folder / "server.log"
        self._child = child = Child(command, log)
        wait_until(lambda: child.ended or self.answers(), _START_SECONDS, f"Redis, see {log}")
        assert not child.ended, log.read_text()
        return self

    def answers(self) -> bool:
        try:
            with Redis.from_url(self.url, socket_timeout=1, retry=None) as client:
                return bool(client.ping())
        except (RedisError, OSError):
            return False

    def kill(self) -> None:
        """As a crash would. `start()` brings it back with its data."""
        if self._child is not None:
            self._child.kill()

    def pause(self) -> None:
        assert self._child is not None
        self._child.send(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._child is not None
        self._child.send(signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
