"""Which approval an effect uses, and what an approval is worth at a given time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from envelope.approval import ApprovalState
from envelope.effect import Missing
from envelope.ports.ledger import ApprovalRow, EffectRow, Intent
from worker.journal.book import Book

_CAN_EXPIRE = frozenset({ApprovalState.PENDING, ApprovalState.APPROVED})


def judged(approval: ApprovalRow, now: float, *, run_ended: bool) -> ApprovalRow:
    """Return the approval as it counts at `now`: too late is expired, and so is an open request of
    a run that has ended.
    """
    vain = run_ended and approval.state is ApprovalState.PENDING
    late = approval.state in _CAN_EXPIRE and approval.expires_at <= now
    return replace(approval, state=ApprovalState.EXPIRED) if vain or late else approval


def usable_approval(book: Book, intent: Intent, before: EffectRow | None) -> ApprovalRow | None:
    """Return the approval that the effect may use.

    The one that it used before where it failed, for then nothing was done with it. Else one of its
    own run's goes before those of others, an older one before a newer.
    """
    fitting = [each for each in _candidates(book, intent) if _fits(book, each, intent, before)]
    own = before.approval_id if before is not None else None
    return min(
        fitting,
        key=lambda each: (
            each.approval_id != own,
            each.run_id != intent.run_id,
            each.asked_at,
            each.approval_id,
        ),
        default=None,
    )


def no_approval(intent: Intent) -> Missing:
    """Return what is missing where there is no such approval."""
    return Missing(
        rule="approval",
        message=f"No one with the role {intent.approval_role!r} has approved exactly this content, "
        "or the approval was used or has expired. Let the flow ask for it with ctx.approve, then "
        "`muster approvals approve` it.",
    )


def _candidates(book: Book, intent: Intent) -> Iterable[ApprovalRow]:
    names = book.ledger.consents.get((intent.tenant, intent.content_sha256), ())
    return (book.ledger.approvals[name] for name in names)


def _fits(book: Book, approval: ApprovalRow, intent: Intent, before: EffectRow | None) -> bool:
    own = before is not None and approval.approval_id == before.approval_id
    unused = approval.state is ApprovalState.APPROVED
    return (
        (unused or (own and approval.consumed_by == intent.key))
        and approval.expires_at > book.now
        and (approval.channel, approval.role) == (intent.channel, intent.approval_role)
    )
