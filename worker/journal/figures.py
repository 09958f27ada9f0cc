"""How much of everything there is now, for a scrape: bounded, and by indexes alone.

A journal with a million finished runs answers as fast as an empty one: only what has not ended is
counted, one flow and state at a time, and never beyond `MOST`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, literal, literal_column, select, text, union_all

from envelope.ports.journal_rows import RunState
from worker.journal.clock import db_now
from worker.journal.tables import ENDED_BADLY, quarantine, runs, workers

MOST = 100_000
"""Larger figures are given as this one."""

MOST_DEAD = 10_000
"""So many dead letters of each state are counted."""

_OLDEST = 1_000
_ACTIVE = (RunState.QUEUED, RunState.RUNNING, RunState.WAITING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a scrape tells of the journal.

    Attributes:
        runs: By flow and state: runs that have not ended.
        dead_letters: By flow and state: runs that failed or died and that nobody replayed.
        oldest_due: By flow: seconds since the oldest queued run might have started.
        workers: Workers by `alive` and `lapsed`.
        quarantined: Descriptions of malformed messages.
    """

    runs: Mapping[tuple[str, str], int]
    dead_letters: Mapping[tuple[str, str], int]
    oldest_due: Mapping[str, float]
    workers: Mapping[str, int]
    quarantined: int


def read_figures(connection: Connection, flows: Sequence[str]) -> Figures:
    """Read the figures of these flows."""
    return Figures(
        runs=_runs(connection, flows),
        dead_letters=_dead_letters(connection, flows),
        oldest_due=_oldest_due(connection, flows),
        workers=_workers(connection),
        quarantined=_quarantined(connection),
    )


def _runs(connection: Connection, flows: Sequence[str]) -> dict[tuple[str, str], int]:
    counts = [_count(flow, state) for flow in flows for state in _ACTIVE]
    if not counts:
        return {}
    rows = connection.execute(union_all(*counts))
    return {(row[0], row[1]): row[2] for row in rows}


def _count(flow: str, state: RunState) -> Select[str, str, int]:
    few: Select[Any] = select(literal_column("1")).where(
        runs.c.flow == flow, runs.c.state == state.value
    )
    counted = few.limit(MOST).subquery()
    return select(literal(flow), literal(state.value), func.count()).select_from(counted)


def _dead_letters(connection: Connection, flows: Sequence[str]) -> dict[tuple[str, str], int]:
    """Count dead runs apart from failed ones, which may be so many that they would hide them."""
    columns = (runs.c.flow, runs.c.state)
    dead = (
        select(*columns)
        .where(runs.c.state == literal_column("'dead'"), runs.c.replayed_as.is_(None))
        .order_by(runs.c.created_at, runs.c.run_id)
    )
    failed = select(*columns).where(text(ENDED_BADLY), runs.c.state == literal_column("'failed'"))
    counted: dict[tuple[str, str], int] = {}
    for which in (dead, failed):
        few = which.limit(MOST_DEAD).subquery()
        statement = (
            select(few.c.flow, few.c.state, func.count())
            .where(few.c.flow.in_(flows))
            .group_by(few.c.flow, few.c.state)
        )
        counted |= {(row[0], row[1]): row[2] for row in connection.execute(statement)}
    return counted


def _oldest_due(connection: Connection, flows: Sequence[str]) -> dict[str, float]:
    """Return it by flow, of the thousand runs that were accepted first."""
    few = (
        select(runs.c.flow, runs.c.available_at)
        .where(runs.c.state == literal_column("'queued'"))
        .order_by(runs.c.created_at, runs.c.run_id)
        .limit(_OLDEST)
        .subquery()
    )
    statement = (
        select(few.c.flow, func.min(few.c.available_at), db_now())
        .where(few.c.available_at <= db_now(), few.c.flow.in_(flows))
        .group_by(few.c.flow)
    )
    return {flow: now - oldest for flow, oldest, now in connection.execute(statement)}


def _workers(connection: Connection) -> dict[str, int]:
    few = select((workers.c.expires_at > db_now()).label("alive")).limit(MOST).subquery()
    statement = select(few.c.alive, func.count()).group_by(few.c.alive)
    found = {bool(alive): count for alive, count in connection.execute(statement)}
    return {"alive": found.get(True, 0), "lapsed": found.get(False, 0)}


def _quarantined(connection: Connection) -> int:
    few = select(literal_column("1")).select_from(quarantine).limit(MOST).subquery()
    return connection.execute(select(func.count()).select_from(few)).scalar_one()
