"""Finds, in SQL, what may be woken. What waits and what has ended long ago costs nothing here."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select, text

from worker.journal.clock import db_now
from worker.journal.load_singletons import first_in_line
from worker.journal.matching import any_of
from worker.journal.tables import TOLD_AT_ITS_END, runs, singletons, waits
from worker.journal.waits import waits_from
from worker.journal.waking import WakeRuns

# Asked for once: Postgres cannot search an index for a time that changes while it looks.
_NOW = select(db_now()).scalar_subquery()
_TIMED = (
    select(runs.c.run_id)
    .where(runs.c.wake_at <= _NOW)
    .order_by(runs.c.wake_at, runs.c.run_id)
    .limit(bindparam("limit"))
)
_ENDED = (
    select(runs.c.run_id, runs.c.singleton)
    .where(text(TOLD_AT_ITS_END))
    .order_by(runs.c.run_id)
    .limit(bindparam("limit"))
)
_WAITERS = (
    select(waits.c.run_id)
    .where(any_of(waits.c.awaited_id, "run_ids"))
    .order_by(waits.c.awaited_id, waits.c.run_id)
    .limit(bindparam("limit"))
)
_LINE = (
    select(first_in_line(singletons.c.key))
    .where(any_of(singletons.c.key, "keys"))
    .order_by(singletons.c.key)
)
_WAITING = select(runs.c.run_id, runs.c.waits).where(
    any_of(runs.c.run_id, "run_ids"), runs.c.waits.is_not(None)
)
_KEYS = select(runs.c.singleton).where(
    any_of(runs.c.run_id, "run_ids"), runs.c.singleton.is_not(None)
)


def read_wakeable(connection: Connection, limit: int) -> WakeRuns:
    """Return the runs whose time has come, and those concerned by the end of others."""
    run_ids = list(connection.scalars(_TIMED, {"limit": limit}))
    ended = connection.execute(_ENDED, {"limit": limit}).all()
    awaited = [row.run_id for row in ended]
    keys = sorted({row.singleton for row in ended if row.singleton is not None})
    if awaited:
        run_ids += connection.scalars(_WAITERS, {"run_ids": awaited, "limit": limit})
    if keys:
        line = connection.scalars(_LINE, {"keys": keys})
        run_ids += [run_id for run_id in line if run_id is not None]
    return WakeRuns(list(dict.fromkeys(run_ids))[:limit], awaited, keys)


def read_wakeable_of(connection: Connection, run_ids: Sequence[str], limit: int) -> WakeRuns:
    """Return what is to be looked at to wake these runs."""
    rows = connection.execute(_WAITING, {"run_ids": list(run_ids)})
    found = {run_id: waits_from(waits) for run_id, waits in rows}
    chosen = [run_id for run_id in dict.fromkeys(run_ids) if run_id in found][:limit]
    waited = [wait for run_id in chosen if (wait := found[run_id]) is not None]
    awaited = list(dict.fromkeys(child for wait in waited for child in wait.children))
    keys = {wait.singleton for wait in waited if wait.singleton is not None}
    if awaited:
        keys.update(connection.scalars(_KEYS, {"run_ids": awaited}))
    return WakeRuns(chosen, awaited, sorted(keys))
