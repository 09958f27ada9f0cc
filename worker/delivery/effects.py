"""Performs effects: the rules, the intent committed, sent, the outcome committed."""

from __future__ import annotations

import asyncio
from shlex import quote
from typing import Any

from envelope.effect import Effect, EffectState, Gated, Receipt, Send, Sent
from envelope.errors import (
    EffectUnknown,
    InvalidInput,
    MusterError,
    NotSent,
    Refused,
    Retryable,
)
from envelope.ids import new_id
from envelope.ports.effects import EffectOrigin
from envelope.ports.ledger import Conclusion, EffectRow, Intended, Intent, Ledger
from worker.delivery.cut_off import answered, ended, written
from worker.delivery.policy import DeliveryPolicy
from worker.delivery.recipients import one_spelling
from worker.delivery.told import Told
from worker.engine.hold import Hold
from worker.engine.persist import until_written
from worker.redaction import Redactor

GRACE_SECONDS = 5.0
"""How much longer a sending may take after its step was told to stop."""


class LedgerEffects:
    """Implements `envelope.ports.effects.Effects`: never a silent second act under one key.

    Args:
        ledger: Where intents and outcomes are committed.
        policy: The settings' rules.
        hold: This process's hold on its lease: without it, others may have taken the step.
        log: Told what must wait for the journal.
        redactor: Knows the secrets that no title, reason or receipt may hold; None: no secret is
            known, and only what looks like one is masked.
        grace_seconds: How much longer a sending may take after its step was told to stop.
    """

    def __init__(
        self,
        ledger: Ledger,
        policy: DeliveryPolicy,
        hold: Hold,
        log: Any,
        *,
        redactor: Redactor | None = None,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._hold = hold
        self._log = log
        self._told = Told(redactor or Redactor())
        self._grace_seconds = grace_seconds

    async def perform(self, origin: EffectOrigin, effect: Effect, send: Send) -> Sent:
        """Commit the intent, send, commit the outcome; see `AgentContext.effect`."""
        intent = self._intent(origin, effect)
        await self._hold.assured()
        lapses = self._hold.lapses
        intended = await self._intended(intent)
        if not intended.go or intended.effect is None:
            return _not_begun(intended)
        if self._hold.over or self._hold.lapses != lapses:
            reason = "The worker's lease lapsed before anything was sent."
            await self._not_sent(intended.effect, reason)
            raise NotSent(f"{reason} The step is tried again.")
        return await self._send(intended.effect, send)

    def _intent(self, origin: EffectOrigin, effect: Effect) -> Intent:
        """Make the intent; the settings' rules are asked at its commit, by the ledger's clock."""
        if not effect.recipients or not effect.channel:
            raise InvalidInput("An effect names its channel and at least one recipient.")
        policy = self._policy
        return Intent(
            key=effect.key or origin.idempotency_key,
            run_id=origin.run_id,
            step=origin.step,
            attempt=origin.claimed or origin.attempt,
            tenant=origin.tenant,
            channel=effect.channel,
            recipients=sorted({one_spelling(each) for each in effect.recipients}),
            content_sha256=effect.sha256,
            title=self._told.text(effect.title),
            deduplicates=effect.deduplicates,
            epoch=origin.epoch,
            executor=origin.executor,
            nonce=new_id(),
            rules=lambda now: policy.missing(effect, allow_delivery=origin.allow_delivery, now=now),
            cap=policy.cap,
            approval_role=policy.approval_role(effect.channel),
        )

    async def _intended(self, intent: Intent) -> Intended:
        """Commit the intent; one that a cancellation overtakes is taken back."""
        intended, cancelled = await until_written(
            lambda: answered(self._ledger.intend(intent)), self._log
        )
        if cancelled is None:
            return intended
        if intended.go and intended.effect is not None:
            reason = "The step was stopped before anything was sent."
            await self._not_sent(intended.effect, reason)
        raise cancelled

    async def _send(self, effect: EffectRow, send: Send) -> Sent:
        """Send in a task of its own, which outlives the step by seconds, and say how it ended."""
        sending = asyncio.ensure_future(_sending(send, effect.key))
        cancelled = await ended(sending, self._grace_seconds)
        error = _error_of(sending)
        if error is None:
            receipt = self._told.receipt(sending.result())
            await self._conclude(effect, EffectState.SENT, receipt=receipt)
        elif isinstance(error, Refused):
            state = EffectState.REFUSED if error.spent else EffectState.FAILED
            await self._conclude(effect, state, reason=str(error))
        elif isinstance(error, NotSent):
            await self._not_sent(effect, str(error))
        elif not effect.deduplicates:
            await self._conclude(effect, EffectState.UNKNOWN, reason=_told(error))
        if cancelled is not None:
            raise cancelled
        if error is None:
            return Sent(key=effect.key, receipt=receipt)
        if isinstance(error, NotSent | Refused):
            raise error
        raise _cut_off(effect, error) from error

    async def _not_sent(self, effect: EffectRow, reason: str) -> None:
        """Conclude that it did not happen, unless an earlier attempt may have made it happen."""
        if not effect.unresolved:
            await self._conclude(effect, EffectState.FAILED, reason=reason)

    async def _conclude(
        self,
        effect: EffectRow,
        state: EffectState,
        *,
        receipt: Receipt | None = None,
        reason: str | None = None,
    ) -> None:
        conclusion = Conclusion(
            key=effect.key,
            tenant=effect.tenant,
            tries=effect.tries,
            state=state,
            receipt=receipt or {},
            reason=None if reason is None else self._told.text(reason),
        )
        await written(lambda: self._ledger.conclude(conclusion), self._log)


async def _sending(send: Send, key: str) -> Receipt:
    return await send(key)


def _error_of(sending: asyncio.Task[Receipt]) -> BaseException | None:
    if sending.cancelled():
        return TimeoutError("It was cut off while it was under way.")
    return sending.exception()


def _cut_off(effect: EffectRow, error: BaseException) -> MusterError:
    """What the step ends with, or is tried again for, when nobody knows what came of it."""
    if not effect.deduplicates:
        return _unknown(effect.key, _told(error))
    return Retryable(
        f"Effect {effect.key!r} was cut off ({_told(error)}). It is sent again under the same key, "
        "by which its receiver knows it."
    )


def _not_begun(intended: Intended) -> Sent:
    known = intended.effect
    if known is None or (intended.missing and known.state is EffectState.FAILED):
        raise Gated(intended.missing)
    if intended.missing:
        raise EffectUnknown(
            f"An earlier attempt at effect {known.key!r} was cut off, and it may not be repeated "
            f"now. {' '.join(each.message for each in intended.missing)}"
        )
    return _settled(known)


def _settled(known: EffectRow) -> Sent:
    if known.state is EffectState.SENT:
        return Sent(key=known.key, receipt=known.receipt, before=True)
    if known.state is EffectState.REFUSED:
        raise Refused(
            f"Effect {known.key!r} was refused before: {known.reason} Nothing is sent under that "
            "key again; write another draft, or use another key.",
            spent=True,
        )
    raise _unknown(known.key, known.reason or "its sender was lost")


def _unknown(key: str, why: str) -> EffectUnknown:
    return EffectUnknown(
        f"Nobody knows whether effect {key!r} happened: {why}. Ask the receiver, then say so: "
        f"muster effects settle {quote(key)} sent|failed."
    )


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
