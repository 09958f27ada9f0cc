"""Locks the singleton keys that a batch needs, after its runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, and_, func, select, text

from worker.journal.book import Singleton
from worker.journal.matching import any_of
from worker.journal.tables import IN_LINE, runs, singletons

# One after the other in the order of the keys, as they are locked.
_ENTER = text("INSERT INTO muster_singletons (key) VALUES (:key) ON CONFLICT (key) DO NOTHING")
_LOCK = (
    select(singletons.c.key)
    .where(any_of(singletons.c.key, "keys"))
    .order_by(singletons.c.key)
    .with_for_update()
)


def first_in_line(key: ColumnElement[Any]) -> ScalarSelect[Any]:
    """Return the id of the run that gets the key next: by priority, then by age."""
    line, top = runs.alias("muster_line"), runs.alias("muster_top")
    highest = select(func.max(top.c.priority)).where(text(IN_LINE), top.c.singleton == key)
    return (
        select(line.c.run_id)
        .where(text(IN_LINE), line.c.singleton == key)
        .where(line.c.priority == highest.correlate(singletons).scalar_subquery())
        .order_by(line.c.created_at, line.c.run_id)
        .limit(1)
        .correlate(singletons)
        .scalar_subquery()
    )


_holder: Any = runs.alias("muster_holder")
_LOOK = (
    select(
        singletons.c.key,
        singletons.c.run_id,
        and_(_holder.c.run_id.is_not(None), _holder.c.finished_at.is_(None)),
        first_in_line(singletons.c.key),
    )
    .outerjoin(_holder, _holder.c.run_id == singletons.c.run_id)
    .where(any_of(singletons.c.key, "keys"))
)


def lock_singletons(connection: Connection, keys: Collection[str]) -> Mapping[str, Singleton]:
    """Return the keys under their locks, entered where they are new.

    Who holds them and who is in line is read after the locks were granted.
    """
    ordered = sorted(keys)
    connection.execute(_ENTER, [{"key": key} for key in ordered])
    connection.execute(_LOCK, {"keys": ordered})
    return {
        key: Singleton(key=key, holder=holder, free=not active, first=first)
        for key, holder, active, first in connection.execute(_LOOK, {"keys": ordered})
    }
