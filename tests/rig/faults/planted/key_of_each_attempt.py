"""Each attempt at a webhook has a key of its own, so its receiver cannot know it again."""

from __future__ import annotations

from itertools import count

from agents.webhook import agent
from tests.rig.faults.planted.planting import Patch

_webhook_id = agent.webhook_id
_attempts = count(1)


def _another(tenant: str, key: str) -> str:
    return f"{_webhook_id(tenant, key)}:{next(_attempts)}"


PATCHES = (Patch(agent, "webhook_id", _another),)
