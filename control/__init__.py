"""What starts and watches runs: CampaignManager, clients, CLI.

The names are loaded when they are first used, so that `import control.cli` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from control.async_client import AsyncMuster
    from control.async_manager import AsyncCampaignManager
    from control.async_run import AsyncRun
    from control.client import Muster
    from control.event import Event
    from control.manager import CampaignManager
    from control.outcome import RunCancelled, RunFailed, RunTimeout
    from control.run import Run

_HOMES = {
    "AsyncCampaignManager": "control.async_manager",
    "AsyncMuster": "control.async_client",
    "AsyncRun": "control.async_run",
    "CampaignManager": "control.manager",
    "Event": "control.event",
    "Muster": "control.client",
    "Run": "control.run",
    "RunCancelled": "control.outcome",
    "RunFailed": "control.outcome",
    "RunTimeout": "control.outcome",
}

__all__ = [
    "AsyncCampaignManager",
    "AsyncMuster",
    "AsyncRun",
    "CampaignManager",
    "Event",
    "Muster",
    "Run",
    "RunCancelled",
    "RunFailed",
    "RunTimeout",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'control' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)
