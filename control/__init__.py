"""What starts and watches runs: CampaignManager, clients, CLI.

The names are loaded when they are first used, so that `import control.cli` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from control.campaign_manager import AsyncCampaignManager, CampaignManager
    from control.event import Event
    from control.handle import AsyncRun
    from control.muster import AsyncMuster
    from control.outcome import RunCancelled, RunFailed, RunTimeout
    from control.sync import Muster, Run

_HOMES = {
    "AsyncCampaignManager": "control.campaign_manager",
    "AsyncMuster": "control.muster",
    "AsyncRun": "control.handle",
    "CampaignManager": "control.campaign_manager",
    "Event": "control.event",
    "Muster": "control.sync",
    "Run": "control.sync",
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
