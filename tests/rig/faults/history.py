"""What really happened, kept outside the system: one JSON line each, appended in one write."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HISTORY_VARIABLE = "MUSTER_TEST_HISTORY"

Line = dict[str, Any]
"""`at` (seconds since 1970), `what`, and what that kind of line tells."""


@dataclass(frozen=True)
class History:
    """A file that agents, the stub model, the fault injector and the client append to.

    A single write to an O_APPEND file is neither torn by a kill nor mixed with another's.
    """

    path: Path

    @classmethod
    def of_environment(cls) -> History:
        """The history that the rig named to this worker."""
        return cls(Path(os.environ[HISTORY_VARIABLE]))

    def write(self, what: str, **facts: Any) -> None:
        line = {"at": time.time(), "what": what, **facts}
        with self.path.open("ab", buffering=0) as file:
            file.write(json.dumps(line).encode() + b"\n")

    def lines(self) -> list[Line]:
        """Everything so far, in the order of writing."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]


def in_flight(lines: list[Line], pid: int) -> int:
    """How many executions of a process have begun and not ended."""
    mine = [line["what"] for line in lines if line.get("pid") == pid]
    return mine.count("start") - mine.count("end")
