"""Effects of a process that has no journal of its own until it needs one."""

from __future__ import annotations

import asyncio
from typing import Any

from envelope.effect import Effect, Send, Sent
from envelope.ports.effects import EffectOrigin
from envelope.ports.journal import Journal
from worker.delivery.effects import LedgerEffects
from worker.delivery.ledger_of import ledger_of
from worker.delivery.policy import DeliveryPolicy
from worker.engine.hold import Hold
from worker.engine.persist import until_written
from worker.journal.open import journal_for
from worker.redaction import Redactor
from worker.settings import Settings


class LateEffects:
    """Implements `Effects` over the configured journal, opened at the first effect.

    The step is fenced by the lease of the worker that claimed it, which ends this process with
    itself.

    Args:
        settings: The settings.
        log: Told while the journal is away.
    """

    def __init__(self, settings: Settings, log: Any) -> None:
        self._settings = settings
        self._log = log
        self._opening = asyncio.Lock()
        self._journal: Journal | None = None
        self._policy = DeliveryPolicy.of(settings)
        self._redactor = Redactor(settings.secrets())

    async def perform(self, origin: EffectOrigin, effect: Effect, send: Send) -> Sent:
        """Perform it; see `AgentContext.effect`."""
        ledger = ledger_of(await self._opened())
        hold = Hold(self._settings.lease_seconds)
        effects = LedgerEffects(ledger, self._policy, hold, self._log, redactor=self._redactor)
        return await effects.perform(origin, effect, send)

    async def close(self) -> None:
        """Let go of the journal."""
        if self._journal is not None:
            await self._journal.close()

    async def _opened(self) -> Journal:
        async with self._opening:
            if self._journal is None:
                journal = journal_for(self._settings.journal_url)
                await until_written(journal.open, self._log)
                self._journal = journal
            return self._journal
