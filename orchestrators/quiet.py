"""A logger that says nothing while recorded steps are replayed: it was all said before."""

from __future__ import annotations

from typing import Any

from envelope.ports.context import Log
from orchestrators.steps import StepRunner


class QuietWhileReplaying:
    """Passes lines on to `log` once the run does something new."""

    def __init__(self, log: Log, steps: StepRunner) -> None:
        self._log = log
        self._steps = steps

    def info(self, event: str, **fields: Any) -> None:
        """Log what happened."""
        if not self._steps.replaying:
            self._log.info(event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Log what a person should look at some day."""
        if not self._steps.replaying:
            self._log.warning(event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        """Log what a person should look at now."""
        if not self._steps.replaying:
            self._log.error(event, **fields)
