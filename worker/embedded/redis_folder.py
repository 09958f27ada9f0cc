"""What the embedded Redis keeps in `HOME/redis`, readable by its owner alone.

server.json   port and password; survives the server, so that a new one has the same URL
redis.conf    written anew at each start; the password stands here and not on a command line
server.lock   locked by the server process as long as it lives
users.lock    shared by every process that uses the server
start.lock    held alone by whoever starts or stops it
server.pid, server.log, appendonlydir/   the server's own
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from worker.embedded.errors import HomeNotWritable

_LOG_TAIL_BYTES = 4000


@dataclass(frozen=True, slots=True)
class Address:
    """Where the server listens. Only this machine can reach it, only with the password."""

    port: int
    password: str

    @property
    def url(self) -> str:
        """The URL for clients, password included."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def elsewhere(self) -> Address:
        """The same password on another port that is free now."""
        return replace(self, port=_free_port())


class RedisFolder:
    """Names and contents of the files in `HOME/redis`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / "redis"
        self.start_lock = self.path / "start.lock"
        self.users_lock = self.path / "users.lock"
        self.server_lock = self.path / "server.lock"
        self.config = self.path / "redis.conf"
        self.log = self.path / "server.log"
        self._address = self.path / "server.json"
        self._pid = self.path / "server.pid"

    def create(self) -> None:
        """Makes the folder.

        Raises:
            HomeNotWritable: It cannot be made or not be written.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HomeNotWritable(self.home, str(error.strerror)) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise HomeNotWritable(self.home, "Permission denied")

    def address(self) -> Address | None:
        """The address last used; None when it was never written or cannot be read."""
        try:
            kept = json.loads(self._address.read_text("utf-8"))
            return Address(int(kept["port"]), str(kept["password"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def new_address(self) -> Address:
        """A free port and a password never used before."""
        return Address(_free_port(), secrets.token_urlsafe(24))

    def write(self, address: Address) -> None:
        """Writes address and configuration, before the server starts.

        Whoever starts the server may be killed at any line; the address must then already be there
        for the next process to adopt the server.
        """
        _write_private(self.config, self._configuration(address))
        _write_private(self._address, json.dumps(asdict(address)))

    def pid(self) -> int | None:
        """The process id that the server wrote."""
        try:
            return int(self._pid.read_text("ascii"))
        except (FileNotFoundError, ValueError):
            return None

    def log_tail(self) -> str:
        """The end of the server's log of its last start."""
        try:
            return self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode("utf-8", "replace").strip()
        except FileNotFoundError:
            return ""

    def set_data_aside(self) -> None:
        """Lets the next server start empty. Redis holds nothing that cannot be rebuilt."""
        data = self.path / "appendonlydir"
        if data.exists():
            data.rename(self.path / f"appendonlydir.unreadable-{secrets.token_hex(4)}")
        single = self.path / "appendonly.aof"  # where Redis before 7 keeps it
        if single.exists():
            single.rename(self.path / f"appendonly.unreadable-{secrets.token_hex(4)}")

    def _configuration(self, address: Address) -> str:
        lines = (
            "bind 127.0.0.1",
            f"port {address.port}",
            "protected-mode yes",
            f"requirepass {address.password}",
            # It leaves our session and process group: Ctrl-C in a terminal must not reach it.
            "daemonize yes",
            f"pidfile {_quoted(self._pid)}",
            f"logfile {_quoted(self.log)}",
            "loglevel notice",
            f"dir {_quoted(self.path)}",
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
        )
        return "\n".join((*lines, ""))


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _write_private(path: Path, text: str) -> None:
    """Whole or not at all: a reader never sees half a file."""
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    partial.touch(mode=0o600, exist_ok=False)
    partial.write_text(text, "utf-8")
    partial.replace(path)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
