"""The logger of the primitives: Muster's own where it is configured, else the standard library's.

structlog prints to stdout until it is configured, which is no place for a program's log.
"""

from __future__ import annotations

import logging
from typing import Any

import structlog
from structlog.processors import KeyValueRenderer
from structlog.stdlib import BoundLogger


def primitives_logger() -> Any:
    """Return a structured logger; in a program that does not configure structlog, its lines go
    to the logger `muster` of `logging`.
    """
    if structlog.is_configured():
        return structlog.get_logger("muster")
    return structlog.wrap_logger(
        logging.getLogger("muster"),
        processors=[KeyValueRenderer(key_order=["event"])],
        wrapper_class=BoundLogger,
    )
