"""What really happened, kept outside the system: one JSON line each, appended in one write."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

HISTORY_VARIABLE = "MUSTER_TEST_HISTORY"

Line = dict[str, Any]
"""`at` (seconds since 1970), `what`, and what that kind of line tells."""


class History:
    """A file that agents, the stub model, the fault injector and the client append to.

    A single write to an O_APPEND file is neither torn by a kill nor mixed with another's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._known: list[Line] = []
        self._offset = 0

    @classmethod
    def of_environment(cls) -> History:
        """The history that the rig named to this worker."""
        return cls(Path(os.environ[HISTORY_VARIABLE]))

    def write(self, what: str, **facts: Any) -> None:
        line = {"at": time.time(), "what": what, **facts}
        with self.path.open("ab", buffering=0) as file:
            file.write(json.dumps(line).encode() + b"\n")

    def clear(self) -> None:
        """Forget everything: a further trial begins."""
        with self._lock:
            self.path.unlink(missing_ok=True)
            self._known, self._offset = [], 0

    def lines(self) -> list[Line]:
        """Everything so far, in the order of writing."""
        with self._lock:
            self._read_on()
            return list(self._known)

    def of_run(self, run_id: str) -> list[Line]:
        """What names that run, without keeping the rest: for those who look once."""
        named = [line for line in self._bytes().splitlines() if run_id.encode() in line]
        return [line for line in map(json.loads, named) if line.get("run") == run_id]

    def _read_on(self) -> None:
        """A long trial is looked at thousands of times: only what is new is read."""
        new = self._bytes(self._offset)
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._known += map(json.loads, whole.splitlines())

    def _bytes(self, offset: int = 0) -> bytes:
        if not self.path.exists():
            return b""
        with self.path.open("rb") as file:
            file.seek(offset)
            return file.read()


def in_flight(lines: list[Line], pid: int) -> int:
    """How many executions of a process have begun and not ended."""
    mine = [line["what"] for line in lines if line.get("pid") == pid]
    return mine.count("start") - mine.count("end")
