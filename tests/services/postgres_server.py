"""A private Postgres cluster that a test may kill and start again on the same port."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.services.child import Child
from tests.services.ports import free_port
from tests.services.waiting import wait_until

_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)
_START_SECONDS = 60.0
# Survives a killed server, not a power cut. Tests do the former only.
_OPTIONS = ("fsync=off", "max_connections=200", "unix_socket_directories=", "log_min_messages=log")
_numbers = count(1)


def postgres_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`, the newest version first; None without Postgres."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    for pattern in _FOLDERS:
        found += sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)
    return next((f for f in found if (f / "postgres").exists() and (f / "initdb").exists()), None)


def _version(folder: Path) -> int:
    numbers = re.findall(r"\d+", str(folder))
    return int(numbers[0]) if numbers else 0


class PrivatePostgres:
    """A real cluster on a random loopback port. Postgres refuses root, so root lends it a user."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="muster-postgres-"))
        self._child: Child | None = None
        self._as_user = _unprivileged()
        self.port = free_port()
        self._create()

    @property
    def url(self) -> str:
        """The maintenance database. `new_database()` makes one for a test."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> "PrivatePostgres":
        command = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        command += ["-h", "127.0.0.1", *(part for option in _OPTIONS for part in ("-c", option))]
        log = self._folder / "server.log"
        self._child = child = Child(command, log, cwd=self._folder, **self._as_user)
        wait_until(lambda: child.ended or self.answers(), _START_SECONDS, f"Postgres, see {log}")
        assert not child.ended, log.read_text()
        return self

    def answers(self) -> bool:
        try:
            with psycopg.connect(self.url, connect_timeout=2):
                return True
        except psycopg.Error:
            return False

    def kill(self) -> None:
        """As a crash would: every backend ends without writing. `start()` recovers the data."""
        if self._child is not None and not self._child.ended:
            self._child.stop(signal.SIGQUIT)

    def close(self) -> None:
        """Ends it for good and removes its data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _create(self) -> None:
        if "user" in self._as_user:
            shutil.chown(self._folder, self._as_user["user"])
        command = [str(self._binaries / "initdb"), "-D", str(self._data), "-U", "postgres"]
        command += ["-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale"]
        made = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=self._folder, **self._as_user
        )
        assert made.returncode == 0, f"initdb failed:\n{made.stdout}\n{made.stderr}"


def new_database(server_url: str) -> str:
    """Creates an empty database on the server and returns its URL."""
    name = f"muster_{os.getpid()}_{next(_numbers)}"
    _administer(server_url, "CREATE DATABASE {}", name)
    return re.sub(r"/[^/?]*(?=\?|$)", f"/{name}", server_url)


def drop_database(server_url: str, url: str) -> None:
    """Drops the database with whatever is still connected to it."""
    name = re.split(r"[?]", url)[0].rpartition("/")[2]
    _administer(server_url, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def _administer(server_url: str, statement: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


def _unprivileged() -> dict[str, Any]:
    """Arguments for subprocess: root becomes the user `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = known.get("postgres") or known["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
