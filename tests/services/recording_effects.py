"""Performs effects at once and keeps them: neither gate nor ledger."""

from collections.abc import Mapping

from envelope.effect import Effect, Gated, Missing, Receipt, Send, Sent
from envelope.ports.effects import EffectOrigin


class RecordingEffects:
    """An `Effects` that sends what it has not sent before, under one key once."""

    def __init__(self, *, gated: bool = False) -> None:
        self.effects: list[Effect] = []
        self.sends = 0
        self._gated = gated
        self._receipts: dict[str, Receipt] = {}

    @property
    def receipts(self) -> Mapping[str, Receipt]:
        return self._receipts

    async def perform(self, origin: EffectOrigin, effect: Effect, send: Send) -> Sent:
        self.effects.append(effect)
        if self._gated:
            raise Gated([Missing(rule="run", message="The run does not allow it.")])
        key = effect.key or origin.idempotency_key
        if key in self._receipts:
            return Sent(key=key, receipt=self._receipts[key], before=True)
        self.sends += 1
        self._receipts[key] = await send(key)
        return Sent(key=key, receipt=self._receipts[key])
