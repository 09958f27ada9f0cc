"""Who watches the requests to models: the process that executes the step, for its metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from envelope.usage import Usage

Answered = Callable[[str, Usage], None]
"""Takes the model that answered and what that used; not called where none did."""

Watch = Callable[[str, str], AbstractContextManager[Answered]]
"""Surrounds one request, given the model that is asked for and the base URL of its server."""


@contextmanager
def unwatched(_model: str, _server: str) -> Iterator[Answered]:
    """Watch nothing."""
    yield _nobody


def _nobody(model: str, usage: Usage) -> None:
    """Nobody wants to know."""
