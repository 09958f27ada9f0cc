"""Who counts how often kept answers are of use: the process that executes the run."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Literal

CacheKind = Literal["step", "model"]
"""What answers are kept of: an agent's step, or a language model."""

CacheWatch = Callable[[CacheKind, str, bool], None]
"""Takes the kind, the name of the agent or model, and whether a kept answer was of use."""


def _nobody(kind: CacheKind, name: str, hit: bool) -> None:
    """Nobody wants to know."""


CACHE_WATCH: ContextVar[CacheWatch] = ContextVar("muster_cache_watch", default=_nobody)
"""Told by the caches of the running flow or step."""


def cache_asked(kind: CacheKind, name: str, *, hit: bool) -> None:
    """Tell whoever watches the running flow or step that a cache was asked."""
    CACHE_WATCH.get()(kind, name, hit)
