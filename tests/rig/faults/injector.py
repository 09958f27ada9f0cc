"""Strikes with random faults, each until it has hit something."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from functools import partial

from tests.rig.faults.client import Load
from tests.rig.faults.proxy import Mode
from tests.rig.faults.rig import FaultRig
from tests.rig.faults.server_faults import (
    break_database,
    break_redis,
    duplicate_messages,
    flush_redis,
    restart_database,
    restart_redis,
    upset_model,
)
from tests.rig.faults.stub_llm import Manner
from tests.rig.faults.worker_faults import freeze_worker, kill_child, kill_worker

Strike = Callable[[FaultRig, random.Random], None]

_TRIES = 5

FAULTS: Mapping[str, Strike] = {
    "kill": kill_worker,
    "kill child": kill_child,
    "freeze": freeze_worker,
    "redis restart": restart_redis,
    "redis flush": flush_redis,
    "redis duplicates": duplicate_messages,
    **{f"redis {mode}": partial(break_redis, mode=mode) for mode in Mode if mode != "pass"},
    "database restart": restart_database,
    **{f"database {mode}": partial(break_database, mode=mode) for mode in Mode if mode != "pass"},
    "llm storm": partial(upset_model, manner=Manner(status=429, retry_after="0.5")),
    "llm drip": partial(upset_model, manner=Manner(drip_seconds=0.01)),
    "llm reset": partial(upset_model, manner=Manner(reset=True)),
}

SHORT_DECK: Mapping[str, int] = {
    **dict.fromkeys(FAULTS, 1),
    "kill": 7,
    "freeze": 3,
    "redis flush": 2,
    "redis duplicates": 3,
}
"""How often each fault strikes in the short tier."""


class Injector:
    """Deals the faults of a deck in an order that the seed decides.

    Args:
        rig: What is to be hurt.
        deck: By name, how often each fault strikes.
        seed: Decides the order, the victims and the times.
    """

    def __init__(self, rig: FaultRig, deck: Mapping[str, int], seed: int) -> None:
        self._rig = rig
        self._chance = random.Random(seed)
        self._cards = [name for name, times in deck.items() for _ in range(times)]
        self._chance.shuffle(self._cards)

    def strike_all(self, load: Load) -> None:
        """Deal every card; the load comes along with them."""
        for number, name in enumerate(self._cards):
            load.allow((number + 1) / len(self._cards))
            self._strike(name, load)

    def _strike(self, name: str, load: Load) -> None:
        for _ in range(_TRIES):
            time.sleep(self._chance.uniform(0.2, 1.0))  # the faults' own rhythm
            self._rig.revive()
            FAULTS[name](self._rig, self._chance)
            last = next(
                line for line in reversed(self._rig.history.lines()) if line["what"] == "fault.end"
            )
            if any(last["proof"].values()):
                return
            load.more()
        raise AssertionError(f"{_TRIES} times {name!r} hit nothing: there is no load")
