"""Turns rows of the ledger's tables into the port's frozen forms."""

from __future__ import annotations

from json import loads
from typing import Any

from sqlalchemy import Row

from envelope.effect import EffectState
from envelope.ports.ledger import EffectRow


def effect_from(row: Row[Any]) -> EffectRow:
    """Return the effect in a row of its table."""
    return EffectRow(
        key=row.key,
        tenant=row.tenant,
        run_id=row.run_id,
        step=row.step,
        channel=row.channel,
        recipients=tuple(loads(row.recipients)),
        content_sha256=row.content_sha256,
        title=row.title,
        deduplicates=row.deduplicates,
        state=EffectState(row.state),
        tries=row.tries,
        intended_at=row.intended_at,
        concluded_at=row.concluded_at,
        unresolved=row.unresolved,
        approval_id=row.approval_id,
        receipt=loads(row.receipt),
        reason=row.reason,
        settled_by=row.settled_by,
    )
