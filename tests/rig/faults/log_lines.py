"""A structured logger that keeps its lines, as a worker's log file does."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import partialmethod
from typing import Any


class LogLines:
    """Lines of several workers in one process; `bind` makes a logger that adds to each line."""

    def __init__(self, lines: list[dict[str, Any]] | None = None, **bound: Any) -> None:
        self.lines = [] if lines is None else lines
        self._bound = bound

    def bind(self, **more: Any) -> LogLines:
        return LogLines(self.lines, **{**self._bound, **more})

    def _keep(self, level: str, event: str, **more: Any) -> None:
        facts = {**self._bound, **more}
        line = {"event": event, "level": level, "timestamp": datetime.now(UTC).isoformat(), **facts}
        self.lines.append({**line, "text": json.dumps(line, default=str)})

    debug = partialmethod(_keep, "debug")
    info = partialmethod(_keep, "info")
    warning = partialmethod(_keep, "warning")
    error = partialmethod(_keep, "error")
    exception = partialmethod(_keep, "error")
