"""Starts, adopts and stops the server process. The caller holds `start.lock`."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from worker.embedded.binary import server_binary
from worker.embedded.errors import EmbeddedRedisFailed
from worker.embedded.file_lock import FileLock
from worker.embedded.redis_folder import Address, RedisFolder

# Loading a large append-only file takes its time; an empty server answers within 50 ms.
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.02
_ATTEMPTS = 5
_PORT_TAKEN = ("address already in use", "failed listening on port")
_DATA_UNREADABLE = ("append only file", "append-only", "aof", "rdb format version")


@dataclass(frozen=True, slots=True)
class LiveServer:
    """A server that answered. `lock` is the open file that it holds locked as long as it lives.

    The open file, not its name, tells whether this server lives: the home may have been removed and
    another server been started under the same name.
    """

    address: Address
    pid: int | None
    lock: FileLock

    def stop(self) -> None:
        """Shuts it down and waits until it is gone; its data stays."""
        with suppress(RedisError, OSError), _client(self.address) as client:
            client.shutdown()
        if _until(lambda: not self.lock.held_by_another(), _STOP_SECONDS) or self.pid is None:
            return
        # The lock says that the server lives, so the number cannot belong to another process.
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def forget(self) -> None:
        """Leaves it as it is."""
        self.lock.forget()


def running_server(folder: RedisFolder) -> LiveServer:
    """The live server; a dead one is replaced by a new one at the same address.

    Raises:
        RedisBinaryMissing: No server program was found.
        EmbeddedRedisFailed: It does not start, or it lives but does not answer.
    """
    lock = FileLock(folder.server_lock)
    try:
        address = _adopted(folder, lock) or _started(folder, lock)
    except BaseException:
        lock.forget()
        raise
    return LiveServer(address, folder.pid(), lock)


def _adopted(folder: RedisFolder, lock: FileLock) -> Address | None:
    address = folder.address()
    if address is not None and _answers_while_alive(lock, address):
        return address
    if lock.held_by_another():
        raise EmbeddedRedisFailed(_unreachable(folder))
    return None


def _started(folder: RedisFolder, lock: FileLock) -> Address:
    binary = str(server_binary())
    address = folder.address() or folder.new_address()
    for _ in range(_ATTEMPTS):
        folder.write(address)
        _spawn(folder, binary)
        if _answers_while_alive(lock, address):
            return address
        log = folder.log_tail().lower()
        if any(sign in log for sign in _PORT_TAKEN):
            address = address.elsewhere()
        elif any(sign in log for sign in _DATA_UNREADABLE):
            folder.set_data_aside()
        else:
            break
    raise EmbeddedRedisFailed(
        f"The embedded Redis ({binary}) does not start. The end of {folder.log} says:\n"
        f"{folder.log_tail() or '(nothing)'}\n"
        "Correct that, or set MUSTER_REDIS_URL to a running Redis."
    )


def _spawn(folder: RedisFolder, binary: str) -> None:
    """The server inherits the locked file and so holds the lock for exactly as long as it lives."""
    folder.log.unlink(missing_ok=True)
    lock = FileLock(folder.server_lock)
    try:
        if not lock.try_exclusive():
            raise EmbeddedRedisFailed(_unreachable(folder))
        subprocess.run(  # noqa: S603  # our own binary and configuration, no shell
            [binary, str(folder.config)],
            pass_fds=[lock.fd],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder.path,
            check=False,
            timeout=_START_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedRedisFailed(
            f"The embedded Redis ({binary}) cannot be started: {error}. "
            "Install redis-server, or set MUSTER_REDIS_URL to a running Redis."
        ) from error
    finally:
        lock.forget()


def _answers_while_alive(lock: FileLock, address: Address) -> bool:
    """Whether it answers before it dies. Until its data is loaded it lives without answering."""
    _until(lambda: not lock.held_by_another() or _answers(address), _START_SECONDS)
    return lock.held_by_another() and _answers(address)


def _answers(address: Address) -> bool:
    try:
        with _client(address) as client:
            return bool(client.ping())
    except (RedisError, OSError):
        return False


def _client(address: Address) -> Redis:
    return Redis(
        host="127.0.0.1",
        port=address.port,
        password=address.password,
        socket_timeout=2.0,
        socket_connect_timeout=2.0,
        retry=Retry(NoBackoff(), 0),
    )


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _unreachable(folder: RedisFolder) -> str:
    return (
        f"The embedded Redis in {folder.path} (process {folder.pid()}) lives but does not answer. "
        f"Stop that process, or look into {folder.log}."
    )
