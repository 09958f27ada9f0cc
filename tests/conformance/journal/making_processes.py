"""Several processes on one database."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.conformance.journal.making import Backend

ROOT = Path(__file__).parents[3]


def start(
    database: Backend, what: str, *arguments: str, module: str = "process"
) -> "subprocess.Popen[str]":
    """Let a process of its own do something with a journal in this database."""
    command = [sys.executable, "-m", f"tests.conformance.journal.{module}", database.url, what]
    return subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
    )


def facts(processes: "list[subprocess.Popen[str]]") -> list[list[str]]:
    """What the processes said, each without its first line, when all have ended well."""
    lines: list[list[str]] = []
    for process in processes:
        try:
            output, errors = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            for other in processes:
                with suppress(ProcessLookupError):
                    os.killpg(other.pid, signal.SIGKILL)
            raise
        assert process.returncode == 0, errors
        first, *rest = output.splitlines()
        assert first == "open"
        lines.extend(line.split() for line in rest)
    return lines
