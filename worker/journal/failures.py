"""Groups failures, in SQL. Only runs that ask for a person are looked at, by an index of theirs."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, func, select, text

from envelope.ports.journal_rows import FailureGroup
from worker.journal.groups import failure_group
from worker.journal.tables import ENDED_BADLY, runs

_NAME = (runs.c.fingerprint, runs.c.flow, runs.c.state)
_NEWEST = (runs.c.finished_at.desc(), runs.c.run_id.desc())
_FAILED = (
    select(
        runs.c.run_id,
        *_NAME,
        func.count().over(partition_by=_NAME).label("count"),
        func.min(runs.c.finished_at).over(partition_by=_NAME).label("first_at"),
        runs.c.finished_at.label("last_at"),
        func.row_number().over(partition_by=_NAME, order_by=_NEWEST).label("place"),
    )
    .where(text(ENDED_BADLY))
    .subquery("failed")
)
_GROUPS = (
    select(_FAILED, runs.c.failure)
    .join(runs, runs.c.run_id == _FAILED.c.run_id)
    .where(_FAILED.c.place == 1)
    .order_by(_FAILED.c.last_at.desc(), _FAILED.c.run_id.desc())
    .limit(bindparam("limit"))
)


def read_failure_groups(connection: Connection, limit: int) -> Sequence[FailureGroup]:
    """Return the groups, that of the newest failure first."""
    return [
        failure_group(
            fingerprint=row["fingerprint"],
            flow=row["flow"],
            state=row["state"],
            example=row["run_id"],
            failure=row["failure"],
            count=row["count"],
            first_at=row["first_at"],
            last_at=row["last_at"],
        )
        for row in connection.execute(_GROUPS, {"limit": limit}).mappings()
    ]
