"""The ledger of a journal in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from envelope.effect import EffectState
from envelope.ports.ledger import (
    ApprovalFilter,
    ApprovalRow,
    Conclusion,
    Decision,
    EffectFilter,
    EffectRow,
    Intended,
    Intent,
    NewApproval,
    Suppression,
)
from worker.journal.approvals import AskApproval, Decide
from worker.journal.checking_ledger import (
    checked_conclusion,
    checked_decision,
    checked_intent,
    checked_request,
    checked_settlement,
    checked_suppression,
)
from worker.journal.concluding import Conclude, Settle
from worker.journal.effects import Intend
from worker.journal.frequency import times_reached
from worker.journal.memory_store import MemoryStore
from worker.journal.suppressing import ANY_CHANNEL


class MemoryLedger:
    """The `Ledger` over plain dictionaries.

    Args:
        store: Everything.
    """

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def now(self) -> float:
        """Return the time by the store's clock."""
        return self._store.clock()

    async def intend(self, intent: Intent) -> Intended:
        """Note that an effect is about to happen, unless something keeps it back."""
        return cast("Intended", self._store.do(Intend(checked_intent(intent))))

    async def conclude(self, conclusion: Conclusion) -> EffectRow:
        """Note how an attempt ended."""
        return cast("EffectRow", self._store.do(Conclude(checked_conclusion(conclusion))))

    async def settle_effect(
        self, tenant: str, key: str, state: EffectState, *, by: str, reason: str = ""
    ) -> EffectRow:
        """Settle by hand an effect of which nobody knows."""
        settled = checked_settlement(tenant, key, state, by, reason)
        return cast("EffectRow", self._store.do(Settle(tenant, key, settled, by, reason)))

    async def effect(self, tenant: str, key: str) -> EffectRow | None:
        """Return an effect."""
        with self._store.lock:
            entry = self._store.book.ledger.effects.get((tenant, key))
            return None if entry is None else entry.effect

    async def effects(self, matching: EffectFilter) -> Sequence[EffectRow]:
        """Return effects, newest first."""
        with self._store.lock:
            every = (entry.effect for entry in self._store.book.ledger.effects.values())
            found = [effect for effect in every if _lets_effect_through(matching, effect)]
        found.sort(key=lambda row: (row.intended_at, row.tenant, row.key), reverse=True)
        return found[: max(0, matching.limit)]

    async def reached(
        self,
        tenant: str,
        channel: str,
        recipients: Sequence[str],
        seconds: float,
        *,
        but: str | None = None,
    ) -> Mapping[str, int]:
        """Return how often each was reached in the last seconds."""
        with self._store.lock:
            book = self._store.book
            book.now = self._store.clock()
            places = {name: (tenant, channel, name) for name in recipients}
            return {
                name: len(times_reached(book, place, seconds, but))
                for name, place in places.items()
            }

    async def ask_approval(self, new: NewApproval) -> ApprovalRow:
        """Enter a request, or return the one of that id."""
        return cast("ApprovalRow", self._store.do(AskApproval(checked_request(new))))

    async def approval(self, approval_id: str) -> ApprovalRow | None:
        """Return an approval."""
        with self._store.lock:
            return self._store.approval(approval_id)

    async def approvals(self, matching: ApprovalFilter) -> Sequence[ApprovalRow]:
        """Return approvals, newest first."""
        with self._store.lock:
            every = [self._store.approval(name) for name in self._store.book.ledger.approvals]
        found = [row for row in every if row and _lets_approval_through(matching, row)]
        found.sort(key=lambda row: (row.asked_at, row.approval_id), reverse=True)
        shown = found[: max(0, matching.limit)]
        return shown if matching.contents else [replace(row, content="") for row in shown]

    async def decide(self, decision: Decision) -> ApprovalRow:
        """Approve or reject, and tell the run."""
        return cast("ApprovalRow", self._store.do(Decide(checked_decision(decision))))

    async def suppress(self, suppression: Suppression) -> None:
        """Keep a recipient from being reached."""
        one = checked_suppression(suppression)
        with self._store.lock:
            place = (one.tenant, one.channel, one.recipient)
            self._store.book.ledger.suppressions[place] = replace(one, at=self._store.clock())

    async def unsuppress(self, tenant: str, channel: str, recipient: str) -> bool:
        """Let a recipient be reached again; False where that was so."""
        one = Suppression(tenant=tenant, channel=channel, recipient=recipient)
        checked_suppression(one)
        with self._store.lock:
            known = self._store.book.ledger.suppressions
            return known.pop((tenant, channel, recipient), None) is not None

    async def suppressions(
        self,
        tenant: str,
        *,
        channel: str | None = None,
        recipients: Sequence[str] | None = None,
        limit: int = 1000,
    ) -> Sequence[Suppression]:
        """Return the suppressions of a tenant, by recipient and channel."""
        with self._store.lock:
            rows = list(self._store.book.ledger.suppressions.values())
        found = [
            row
            for row in rows
            if row.tenant == tenant
            and (channel is None or row.channel in {channel, ANY_CHANNEL})
            and (recipients is None or row.recipient in recipients)
        ]
        return sorted(found, key=lambda row: (row.recipient, row.channel))[: max(0, limit)]


def _lets_effect_through(matching: EffectFilter, effect: EffectRow) -> bool:
    return (
        matching.tenant in {None, effect.tenant}
        and matching.state in {None, effect.state}
        and matching.channel in {None, effect.channel}
        and matching.run_id in {None, effect.run_id}
        and (matching.recipient is None or matching.recipient in effect.recipients)
    )


def _lets_approval_through(matching: ApprovalFilter, approval: ApprovalRow) -> bool:
    return (
        matching.tenant in {None, approval.tenant}
        and matching.state in {None, approval.state}
        and matching.channel in {None, approval.channel}
        and matching.run_id in {None, approval.run_id}
        and matching.content_sha256 in {None, approval.content_sha256}
    )
