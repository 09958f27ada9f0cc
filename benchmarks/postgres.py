"""A private Postgres with full durability, or the one of MUSTER_BENCH_POSTGRES_URL."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

URL_VARIABLE = "MUSTER_BENCH_POSTGRES_URL"
"""Names a server on which databases may be created; it is used instead of a private one."""

_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)
_OPTIONS = ("fsync=on", "synchronous_commit=on", "max_connections=200", "unix_socket_directories=")
_START_SECONDS = 60.0
_POLL_SECONDS = 0.05


@contextmanager
def postgres_server(folder: Path | None) -> Iterator[str | None]:
    """Yield the URL of a server's maintenance database; None where there is no Postgres.

    Args:
        folder: Where a private server keeps its data; None for the system's temporary folder.
    """
    given = os.environ.get(URL_VARIABLE)
    binaries = _binaries()
    if given or binaries is None:
        yield given
        return
    place = Path(tempfile.mkdtemp(prefix="muster-bench-postgres-", dir=folder))
    try:
        with _private(binaries, place) as url:
            yield url
    finally:
        shutil.rmtree(place, ignore_errors=True)


def new_database(server_url: str) -> str:
    """Create an empty database on the server and return its URL."""
    name = f"muster_bench_{uuid4().hex[:12]}"
    _administer(server_url, "CREATE DATABASE {}", name)
    return re.sub(r"/[^/?]*(?=\?|$)", f"/{name}", server_url)


def drop_database(server_url: str, url: str) -> None:
    """Drop a database with whatever is still connected to it."""
    name = url.partition("?")[0].rpartition("/")[2]
    _administer(server_url, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


@contextmanager
def _private(binaries: Path, place: Path) -> Iterator[str]:
    lent = _unprivileged()
    if lent:
        shutil.chown(place, lent["user"])
    data, port = place / "data", _free_port()
    _create(binaries, data, lent)
    command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1"]
    command += [part for option in _OPTIONS for part in ("-c", option)]
    with (place / "server.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command, no shell
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=place, **lent
        )
    url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
    try:
        _wait_for(url, process)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(_START_SECONDS)


def _create(binaries: Path, data: Path, lent: dict[str, Any]) -> None:
    command = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust"]
    subprocess.run(  # noqa: S603 - our own command, no shell
        [*command, "-E", "UTF8", "--no-locale"],
        check=True,
        capture_output=True,
        cwd=data.parent,
        **lent,
    )


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            time.sleep(_POLL_SECONDS)
        else:
            return
    raise RuntimeError(
        f"The private Postgres does not start. Set {URL_VARIABLE} to a running server."
    )


def _administer(server_url: str, statement: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


def _binaries() -> Path | None:
    """The folder with `initdb` and `postgres`, the newest version first."""
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    for pattern in _FOLDERS:
        found += sorted(Path("/").glob(pattern.lstrip("/")), key=_version, reverse=True)
    return next((f for f in found if (f / "postgres").exists() and (f / "initdb").exists()), None)


def _version(folder: Path) -> int:
    numbers = re.findall(r"\d+", str(folder))
    return int(numbers[0]) if numbers else 0


def _unprivileged() -> dict[str, Any]:
    """Arguments for subprocess: Postgres refuses root, so root lends it a user."""
    if os.geteuid() != 0:
        return {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = known.get("postgres") or known["nobody"]
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
