"""What the engine works with in this process."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass, field
from typing import Any

from envelope.ports.journal import Journal
from envelope.ports.queue import Queue
from envelope.ports.wakeup import Wakeups
from envelope.resources import Resources
from worker.engine.cell import Cell
from worker.engine.limits import ProcessLimits
from worker.settings import Settings


def new_worker_id() -> str:
    """Name this process for people (host, pid), and apart from any that had the pid before."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineParts:
    """The engine's surroundings, made by the composition root.

    Attributes:
        worker_id: This process as the journal knows it.
        queue: Where steps and runs are published; None runs every step inline.
        log: The structured logger.
        cell: Where a run one loss from death is executed; None for here.
        steps_here: Agents whose steps never go to their queue: this process serves it and could
            not take them while it holds their run (every pool but asyncio).
    """

    settings: Settings
    journal: Journal
    queue: Queue | None
    wakeups: Wakeups
    resources: Resources
    log: Any
    cell: Cell | None = None
    steps_here: frozenset[str] = frozenset()
    worker_id: str = field(default_factory=new_worker_id)
    limits: ProcessLimits = field(default_factory=ProcessLimits)
