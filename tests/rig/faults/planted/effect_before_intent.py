"""An effect happens first, and then its intent is committed."""

from __future__ import annotations

from envelope.effect import Effect, Receipt, Send, Sent
from envelope.ports.effects import EffectOrigin
from tests.rig.faults.planted.planting import Patch
from worker.delivery.effects import LedgerEffects

_perform = LedgerEffects.perform


async def _send_first(
    effects: LedgerEffects, origin: EffectOrigin, effect: Effect, send: Send
) -> Sent:
    receipt = await send(effect.key or origin.idempotency_key)

    async def was_sent(_key: str) -> Receipt:
        return receipt

    return await _perform(effects, origin, effect, was_sent)


PATCHES = (Patch(LedgerEffects, "perform", _send_first),)
