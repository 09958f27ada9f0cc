"""Metrics of several processes in one: under prefork each child counts in a file of its own."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess, values
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

_LIVE_FILE = re.compile(r"gauge_live\w*_(?P<pid>\d+)\.db")
_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

# Both modules come without types.
_values: Any = values
_multiprocess: Any = multiprocess


def count_in_files(home: Path) -> Path:
    """Make every metric of this process, and of the children it forks, a file's entry.

    Call it before the first metric is made. Folders of workers that are gone are removed.

    Args:
        home: The folder of the embedded parts; files go to `HOME/metrics/<host>-<pid>`.
    """
    # Containers may share the folder, and pids.
    host = socket.gethostname()
    for former in (home / "metrics").glob(f"{host}-*"):
        pid = former.name.removeprefix(f"{host}-")
        if not (pid.isdigit() and _lives(int(pid))):
            shutil.rmtree(former, ignore_errors=True)
    folder = home / "metrics" / f"{host}-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ[_VARIABLE] = str(folder)
    # The library reads the variable when it is imported, before Celery knows its pool.
    _values.ValueClass = _values.MultiProcessValue()
    return folder


class FilesCollector(Collector):
    """Sums up what parent and children have counted.

    What a dead child counted stays; what it held (a `live` gauge) goes with it.

    Args:
        folder: Their files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = _multiprocess.MultiProcessCollector(None, path=str(folder))

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Forget the dead, then read all files."""
        for file in self._folder.glob("gauge_live*.db"):
            named = _LIVE_FILE.fullmatch(file.name)
            if named is not None and not _lives(int(named["pid"])):
                with suppress(FileNotFoundError):  # another scrape was faster
                    _multiprocess.mark_process_dead(int(named["pid"]), str(self._folder))
        found: Iterable[Metric] = self._files.collect()
        return found


def remove(folder: Path) -> None:
    """Remove the files of a worker that ends."""
    shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
