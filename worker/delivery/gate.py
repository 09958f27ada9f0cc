"""The delivery gate: would this effect be let through now, and if not, what is missing?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from envelope.approval import ApprovalState
from envelope.effect import Effect, EffectState, Missing
from envelope.ports.ledger import ApprovalFilter, ApprovalRow, EffectRow, Ledger
from worker.delivery.policy import DeliveryPolicy
from worker.delivery.recipients import ANYONE, one_spelling
from worker.engine.persist import until_written

_MOST_APPROVALS = 1_000  # of one content
_SETTLED = frozenset({EffectState.SENT, EffectState.REFUSED, EffectState.UNKNOWN})


class LedgerGate:
    """Implements `envelope.ports.effects.DeliveryGate` over the settings and the ledger.

    Args:
        policy: The settings' rules.
        ledger: Knows suppressions, what was sent, and approvals.
        log: Told while the ledger is away.
    """

    def __init__(self, policy: DeliveryPolicy, ledger: Ledger, log: Any) -> None:
        self._policy = policy
        self._ledger = ledger
        self._log = log

    async def look(self, effect: Effect, *, tenant: str, allow_delivery: bool) -> Sequence[Missing]:
        """Return what is missing; see `DeliveryGate.look`.

        Nothing is missing for what happened before: performing it again gives its receipt back.
        While the ledger is away it is waited for.
        """
        return await until_written(
            lambda: self._look(effect, tenant, allow_delivery=allow_delivery), self._log
        )

    def approval_role(self, channel: str) -> str | None:
        """Return the role that must approve on this channel; None where nobody needs to."""
        return self._policy.approval_role(channel)

    async def _look(self, effect: Effect, tenant: str, *, allow_delivery: bool) -> list[Missing]:
        known = await self._ledger.effect(tenant, effect.key) if effect.key else None
        if known is not None and known.state in _SETTLED:
            return []
        now = await self._ledger.now()
        return [
            *self._policy.missing(effect, allow_delivery=allow_delivery, now=now),
            *await self._suppressed(effect, tenant),
            *await self._reached(effect, tenant),
            *await self._unapproved(effect, tenant, known, now),
        ]

    async def _suppressed(self, effect: Effect, tenant: str) -> list[Missing]:
        recipients = [one_spelling(each) for each in effect.recipients]
        found = await self._ledger.suppressions(tenant, recipients=recipients)
        return [
            Missing(
                rule="suppressed",
                message=(
                    f"{each.recipient} shall not be reached ({each.reason or 'no reason given'}): "
                    "`muster suppress remove` lifts that."
                ),
                recipient=each.recipient,
            )
            for each in found
            if each.channel in {effect.channel, ANYONE}
        ]

    async def _reached(self, effect: Effect, tenant: str) -> list[Missing]:
        cap = self._policy.cap
        if cap is None:
            return []
        recipients = [one_spelling(each) for each in effect.recipients]
        times = await self._ledger.reached(
            tenant, effect.channel, recipients, cap.seconds, but=effect.key
        )
        return [
            Missing(
                rule="frequency",
                message=(
                    f"{recipient} was reached {count} times within {cap.seconds / 3600:g} hours: "
                    f"wait, or raise MUSTER_DELIVERY_CAP, which allows {cap.count}."
                ),
                recipient=recipient,
            )
            for recipient, count in times.items()
            if count >= cap.count
        ]

    async def _unapproved(
        self, effect: Effect, tenant: str, known: EffectRow | None, now: float
    ) -> list[Missing]:
        role = self._policy.approval_role(effect.channel)
        if role is None:
            return []
        usable = [*await self._unused(effect, tenant), *await self._used_in_vain(known, now)]
        if any(each.content_sha256 == effect.sha256 and each.role == role for each in usable):
            return []
        message = (
            f"A person with the role {role!r} must approve exactly this: ask with ctx.approve, "
            "as the flow `delivery` does."
        )
        return [Missing(rule="approval", message=message)]

    async def _unused(self, effect: Effect, tenant: str) -> Sequence[ApprovalRow]:
        which = ApprovalFilter(
            tenant=tenant,
            state=ApprovalState.APPROVED,
            channel=effect.channel,
            content_sha256=effect.sha256,
            limit=_MOST_APPROVALS,
            contents=False,
        )
        return await self._ledger.approvals(which)

    async def _used_in_vain(self, known: EffectRow | None, now: float) -> list[ApprovalRow]:
        """An effect that failed goes again under the consent that it had used, while that lasts."""
        if known is None or known.approval_id is None:
            return []
        row = await self._ledger.approval(known.approval_id)
        lasts = row is not None and row.expires_at > now
        return [row] if row is not None and lasts and row.consumed_by == known.key else []
