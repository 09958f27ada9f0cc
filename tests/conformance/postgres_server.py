"""A Postgres of the tests' own: real, on a free port, and theirs to stop and start."""

import os
import shutil
import socket
import subprocess
from pathlib import Path


def postgres_binaries() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, or None where Postgres is not installed."""
    on_path = shutil.which("initdb")
    if on_path is not None and shutil.which("pg_ctl") is not None:
        return Path(on_path).parent
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


class PostgresServer:
    """A cluster in `folder`. Postgres refuses to run as root, so root starts it as `postgres`."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self._data = folder / "data"
        self._sockets = folder
        self._log = folder / "postgres.log"
        self._binaries = binaries
        self.port = _free_port()
        self._root = os.geteuid() == 0

    def create(self) -> None:
        if self._root:
            shutil.chown(self._sockets, "postgres")
        arguments = ["-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync"]
        self._run("initdb", "-D", str(self._data), *arguments)

    def start(self) -> None:
        # Survives a crash of the server, not one of the machine. With it, recovery would sync each
        # file of the dozens of databases that the tests made.
        options = f"-p {self.port} -k {self._sockets} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run(
            "pg_ctl", "-D", str(self._data), "-l", str(self._log), "-o", options, "-w", "start"
        )

    def stop(self, mode: str = "fast") -> None:
        """`fast` as an administrator would, `immediate` as a crash would."""
        self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        prefix = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        completed = subprocess.run(
            [*prefix, *command] if self._root else command,
            check=False,
            # The server inherits what pg_ctl was given; a pipe would stay open as long as it runs.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            cwd=self._sockets,
        )
        assert completed.returncode == 0, f"{command} failed; see {self._log}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
