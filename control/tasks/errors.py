"""What can be wrong with the steps of an orchestration, found before any of them runs."""

from __future__ import annotations

from envelope.errors import Terminal


class DependencyCycle(Terminal):
    """Steps wait for one another. The message names them in their order."""

    code = "CYCLE"


class UnknownDependency(Terminal):
    """A step depends on one that is not among them. The message names both."""

    code = "UNKNOWN_DEPENDENCY"
