"""Who watches the requests to models: the process that executes the step, for its metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Literal

from envelope.usage import Usage

Operation = Literal["chat", "embeddings", "generate_content"]
"""What is asked for, as OpenTelemetry's conventions for generative AI name it; the last one stands
for pictures.
"""

Answered = Callable[[str, Usage], None]
"""Takes the model that answered and what that used; not called where none did."""

Watch = Callable[[str, str, Operation], AbstractContextManager[Answered]]
"""Surrounds one request, given the model that is asked for, the base URL of its server (empty where
there is none) and what it is asked to do.
"""


@contextmanager
def unwatched(_model: str, _server: str, _operation: Operation) -> Iterator[Answered]:
    """Watch nothing."""
    yield _nobody


WATCH: ContextVar[Watch] = ContextVar("muster_watch", default=unwatched)
"""Sees the requests of the running step."""


def watched_by_step(
    model: str, server: str, operation: Operation
) -> AbstractContextManager[Answered]:
    """Let whoever watches the running step see the request: for models that have no own watch."""
    return WATCH.get()(model, server, operation)


def _nobody(model: str, usage: Usage) -> None:
    """Nobody wants to know."""
