"""Finds, in SQL, the families whose children still have to be asked to stop."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select, text

from worker.journal.matching import any_of
from worker.journal.tables import runs

_UNASKED = select(runs.c.run_id).where(text("unasked")).order_by(runs.c.run_id)
_CHILDREN = (
    select(runs.c.parent_id, runs.c.run_id)
    .where(any_of(runs.c.parent_id, "parents"), runs.c.parent_id.is_not(None))
    .where(runs.c.finished_at.is_(None), runs.c.cancel_reason.is_(None))
    .order_by(runs.c.parent_id, runs.c.run_id)
)


def read_unasked(connection: Connection, limit: int) -> Sequence[str]:
    """Return runs whose children still have to be asked to stop."""
    return list(connection.scalars(_UNASKED.limit(bindparam("limit")), {"limit": limit}))


def is_unasked(connection: Connection, run_id: str) -> bool:
    """Whether the children of this run still have to be asked to stop."""
    return bool(connection.scalar(_UNASKED.where(runs.c.run_id == run_id)))


def read_children(connection: Connection, parents: Sequence[str]) -> Sequence[tuple[str, str]]:
    """Return parents, each with an active child that was not asked to stop yet."""
    return [tuple(row) for row in connection.execute(_CHILDREN, {"parents": list(parents)})]
