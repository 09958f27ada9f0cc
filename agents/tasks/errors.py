"""What can be wrong with a task before it ever runs."""

from __future__ import annotations

from collections.abc import Sequence

from envelope.errors import Terminal


class InvalidTask(Terminal):
    """A task is put together in a way that cannot work. Raised when it is built."""

    code = "INVALID_TASK"


class IncompleteTask(InvalidTask):
    """A task was built before it had all its parts.

    Args:
        name: The task's name.
        missing: The builder's methods that were not called, in their usual order.
    """

    code = "INCOMPLETE_TASK"

    def __init__(self, name: str, missing: Sequence[str]) -> None:
        super().__init__(
            f"Task {name!r} is incomplete. Missing: {', '.join(missing)}. "
            "Call these on the builder before build()."
        )
        self.missing = tuple(missing)
