"""Performs effects: the rules, the intent committed, sent, the outcome committed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from shlex import quote
from typing import Any

from envelope.effect import Effect, EffectState, Gated, Missing, Receipt, Send, Sent
from envelope.errors import (
    EffectConflict,
    EffectUnknown,
    InvalidInput,
    MusterError,
    NotSent,
    Refused,
    Retryable,
)
from envelope.ports.effects import EffectOrigin
from envelope.ports.ledger import Conclusion, EffectRow, Intended, Intent, Ledger
from worker.delivery.cut_off import answered, ended, written
from worker.delivery.policy import DeliveryPolicy
from worker.delivery.recipients import one_spelling
from worker.engine.hold import Hold
from worker.engine.persist import until_written

GRACE_SECONDS = 5.0
"""How much longer a sending may take after its step was told to stop."""


class LedgerEffects:
    """Implements `envelope.ports.effects.Effects`: never a silent second act under one key.

    Args:
        ledger: Where intents and outcomes are committed.
        policy: The settings' rules.
        hold: This process's hold on its lease: without it, others may have taken the step.
        log: Told what must wait for the journal.
        clock: Returns seconds since 1970, for the quiet hours.
        grace_seconds: How much longer a sending may take after its step was told to stop.
    """

    def __init__(
        self,
        ledger: Ledger,
        policy: DeliveryPolicy,
        hold: Hold,
        log: Any,
        *,
        clock: Callable[[], float] = time.time,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._policy = policy
        self._hold = hold
        self._log = log
        self._clock = clock
        self._grace_seconds = grace_seconds

    async def perform(self, origin: EffectOrigin, effect: Effect, send: Send) -> Sent:
        """Commit the intent, send, commit the outcome; see `AgentContext.effect`."""
        intent = _intent(origin, effect, self._policy)
        missing = self._policy.missing(
            effect, allow_delivery=origin.allow_delivery, now=self._clock()
        )
        if missing:
            return await self._kept_back(intent, missing)
        await self._hold.assured()
        lapses = self._hold.lapses
        intended = await self._intended(intent)
        if not intended.go or intended.effect is None:
            return _not_begun(intended)
        if self._hold.over or self._hold.lapses != lapses:
            reason = "The worker's lease lapsed before anything was sent."
            await self._conclude(intended.effect, EffectState.FAILED, reason=reason)
            raise NotSent(f"{reason} The step is tried again.")
        return await self._send(intended.effect, send)

    async def _kept_back(self, intent: Intent, missing: Sequence[Missing]) -> Sent:
        """What a rule forbids now may have happened while it did not: then that is the truth."""
        read = self._ledger.effect
        known = await until_written(lambda: read(intent.tenant, intent.key), self._log)
        if known is None or known.state is EffectState.FAILED:
            raise Gated(missing)
        _check_same_act(known, intent)
        if known.state is EffectState.INTENDED:
            raise EffectUnknown(
                f"An earlier attempt at effect {intent.key!r} was cut off, and it may not be "
                f"repeated now. {' '.join(each.message for each in missing)}"
            )
        return _settled(known)

    async def _intended(self, intent: Intent) -> Intended:
        """Commit the intent; one that a cancellation overtakes is taken back."""
        intended, cancelled = await until_written(
            lambda: answered(self._ledger.intend(intent)), self._log
        )
        if cancelled is None:
            return intended
        if intended.go and intended.effect is not None:
            reason = "The step was stopped before anything was sent."
            await self._conclude(intended.effect, EffectState.FAILED, reason=reason)
        raise cancelled

    async def _send(self, effect: EffectRow, send: Send) -> Sent:
        """Send in a task of its own, which outlives the step by seconds, and say how it ended."""
        sending = asyncio.ensure_future(_sending(send, effect.key))
        cancelled = await ended(sending, self._grace_seconds)
        error = _error_of(sending)
        if error is None:
            receipt = sending.result()
            await self._conclude(effect, EffectState.SENT, receipt=receipt)
        elif isinstance(error, NotSent | Refused):
            spent = isinstance(error, Refused) and error.spent
            state = EffectState.REFUSED if spent else EffectState.FAILED
            await self._conclude(effect, state, reason=str(error))
        elif not effect.deduplicates:
            await self._conclude(effect, EffectState.UNKNOWN, reason=_told(error))
        if cancelled is not None:
            raise cancelled
        if error is None:
            return Sent(key=effect.key, receipt=receipt)
        if isinstance(error, NotSent | Refused):
            raise error
        raise _cut_off(effect, error) from error

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
            reason=reason,
        )
        await written(lambda: self._ledger.conclude(conclusion), self._log)


def _intent(origin: EffectOrigin, effect: Effect, policy: DeliveryPolicy) -> Intent:
    if not effect.recipients or not effect.channel:
        raise InvalidInput("An effect names its channel and at least one recipient.")
    return Intent(
        key=effect.key or origin.idempotency_key,
        run_id=origin.run_id,
        step=origin.step,
        attempt=origin.claimed or origin.attempt,
        tenant=origin.tenant,
        channel=effect.channel,
        recipients=sorted({one_spelling(each) for each in effect.recipients}),
        content_sha256=effect.sha256,
        title=effect.title,
        deduplicates=effect.deduplicates,
        epoch=origin.epoch,
        executor=origin.executor,
        cap=policy.cap,
        approval_role=policy.approval_role(effect.channel),
    )


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
    if intended.effect is None or intended.missing:
        raise Gated(intended.missing)
    return _settled(intended.effect)


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


def _check_same_act(known: EffectRow, intent: Intent) -> None:
    same = (known.channel, sorted(known.recipients), known.content_sha256)
    if same != (intent.channel, list(intent.recipients), intent.content_sha256):
        raise EffectConflict(
            f"Key {intent.key!r} belongs to another effect. Use a new key for a new act."
        )


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
