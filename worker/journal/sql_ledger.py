"""The ledger of a journal in SQL."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, cast

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
from worker.journal.apply import Work
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
from worker.journal.ledger_reads import (
    read_approvals,
    read_effect,
    read_effects,
    read_newest_approvals,
)
from worker.journal.reached import count_reached, read_now
from worker.journal.reader import Reader
from worker.journal.suppressions import Suppress, Unsuppress, read_suppressions


class SqlLedger(ABC):
    """The `Ledger` over SQL: writes go through the journal's writer, reads do not wait for it."""

    @abstractmethod
    async def _write(self, work: Work) -> Any:
        """Write with the next batch."""

    @property
    @abstractmethod
    def _reader(self) -> Reader:
        """The reading threads."""

    async def now(self) -> float:
        """Return the time by the database's clock."""
        return await self._reader.read(read_now)

    async def intend(self, intent: Intent) -> Intended:
        """Commit that an effect is about to happen, unless something keeps it back."""
        return cast("Intended", await self._write(Intend(checked_intent(intent))))

    async def conclude(self, conclusion: Conclusion) -> EffectRow:
        """Commit how an attempt ended."""
        return cast("EffectRow", await self._write(Conclude(checked_conclusion(conclusion))))

    async def settle_effect(
        self, tenant: str, key: str, state: EffectState, *, by: str, reason: str = ""
    ) -> EffectRow:
        """Settle by hand an effect of which nobody knows."""
        settled = checked_settlement(tenant, key, state, by, reason)
        return cast("EffectRow", await self._write(Settle(tenant, key, settled, by, reason)))

    async def effect(self, tenant: str, key: str) -> EffectRow | None:
        """Return an effect."""
        return await self._reader.read(partial(read_effect, tenant=tenant, key=key))

    async def effects(self, matching: EffectFilter) -> Sequence[EffectRow]:
        """Return effects, newest first."""
        return await self._reader.read(partial(read_effects, matching=matching))

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
        query = partial(
            count_reached,
            tenant=tenant,
            channel=channel,
            recipients=recipients,
            seconds=seconds,
            but=but,
        )
        return await self._reader.read(query)

    async def ask_approval(self, new: NewApproval) -> ApprovalRow:
        """Enter a request, or return the one of that id."""
        return cast("ApprovalRow", await self._write(AskApproval(checked_request(new))))

    async def approval(self, approval_id: str) -> ApprovalRow | None:
        """Return an approval."""
        found = await self._reader.read(partial(read_approvals, names=[approval_id]))
        return found.get(approval_id)

    async def approvals(self, matching: ApprovalFilter) -> Sequence[ApprovalRow]:
        """Return approvals, newest first."""
        return await self._reader.read(partial(read_newest_approvals, matching=matching))

    async def decide(self, decision: Decision) -> ApprovalRow:
        """Approve or reject, and tell the run."""
        return cast("ApprovalRow", await self._write(Decide(checked_decision(decision))))

    async def suppress(self, suppression: Suppression) -> None:
        """Keep a recipient from being reached."""
        await self._write(Suppress(checked_suppression(suppression)))

    async def unsuppress(self, tenant: str, channel: str, recipient: str) -> bool:
        """Let a recipient be reached again; False where that was so."""
        one = Suppression(tenant=tenant, channel=channel, recipient=recipient)
        checked_suppression(one)
        return cast("bool", await self._write(Unsuppress(tenant, channel, recipient)))

    async def suppressions(
        self,
        tenant: str,
        *,
        channel: str | None = None,
        recipients: Sequence[str] | None = None,
        limit: int = 1000,
    ) -> Sequence[Suppression]:
        """Return the suppressions of a tenant, by recipient and channel."""
        query = partial(
            read_suppressions,
            tenant=tenant,
            channel=channel,
            recipients=recipients,
            limit=max(0, limit),
        )
        return await self._reader.read(query)
