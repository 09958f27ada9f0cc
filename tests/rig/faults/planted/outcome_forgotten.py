"""What came of an effect is not written down."""

from __future__ import annotations

from typing import Any

from envelope.effect import EffectState
from envelope.ports.ledger import EffectRow
from tests.rig.faults.planted.planting import Patch
from worker.delivery.effects import LedgerEffects


async def _forget(
    _effects: LedgerEffects, _effect: EffectRow, _state: EffectState, **_told: Any
) -> None:
    """Leave it `intended`."""


PATCHES = (Patch(LedgerEffects, "_conclude", _forget),)
