"""Lists and counts of runs, in SQL, and the candidates for a rescue or a message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json import dumps
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
)

from envelope.ports.journal_rows import Run, RunFilter, RunState
from worker.journal.clock import db_now
from worker.journal.matching import any_of, holds_text
from worker.journal.reading import SELECT_RUNS, run_from
from worker.journal.sending import BUSY_FACTOR, DOUBLINGS, PATIENT_SENDS, Missing
from worker.journal.tables import runs, workers

# Literals, so that the planner sees that a partial index answers the question.
_QUEUED = runs.c.state == literal_column(f"'{RunState.QUEUED.value}'")
_RUNNING = runs.c.state == literal_column(f"'{RunState.RUNNING.value}'")

_DOUBLINGS = case(
    *(
        (runs.c.sends <= literal_column(str(PATIENT_SENDS + n)), literal_column(str(2**n)))
        for n in range(DOUBLINGS)
    ),
    else_=literal_column(str(2**DOUBLINGS)),
)
_BUSY = case((any_of(runs.c.flow, "flows_empty"), 1), else_=BUSY_FACTOR)
_UNSENT = (
    select(runs.c.run_id)
    .where(_QUEUED)
    .where(runs.c.available_at <= db_now())
    .where(
        or_(
            runs.c.sent_at.is_(None),
            runs.c.sent_at <= db_now() - bindparam("grace") * _DOUBLINGS * _BUSY,
        )
    )
    .order_by(runs.c.sent_at.asc().nulls_first(), runs.c.created_at, runs.c.run_id)
    .limit(bindparam("limit"))
)
_LOST = (
    select(runs.c.run_id)
    .where(_RUNNING)
    .where(
        or_(
            runs.c.owner.is_(None),
            ~select(workers.c.worker_id)
            .where(workers.c.worker_id == runs.c.owner, workers.c.expires_at > db_now())
            .exists(),
        )
    )
    .order_by(runs.c.created_at, runs.c.run_id)
)
_ENDED = SELECT_RUNS.where(
    any_of(runs.c.run_id, "run_ids"), runs.c.finished_at.is_not(None)
).order_by(runs.c.run_id)
_SPENT = select(
    func.coalesce(func.sum(runs.c.spent_tokens), 0), func.coalesce(func.sum(runs.c.spent_usd), 0.0)
).where(or_(runs.c.run_id == bindparam("root_id"), runs.c.root_id == bindparam("root_id")))
_COUNTS = select(runs.c.flow, runs.c.state, func.count()).group_by(runs.c.flow, runs.c.state)


def read_unsent(connection: Connection, missing: Missing, limit: int) -> Sequence[str]:
    """Return the ids of runs whose message may be missing, never-sent ones first."""
    values = {"flows_empty": missing.flows_empty, "grace": missing.grace, "limit": limit}
    return list(connection.scalars(_UNSENT, values))


def read_lost(connection: Connection) -> Sequence[str]:
    """Return the ids of runs whose owner's lease may have lapsed, oldest first."""
    return list(connection.scalars(_LOST))


def read_ended(connection: Connection, run_ids: Sequence[str]) -> Sequence[Run]:
    """Return those of the runs that have ended."""
    rows = connection.execute(_ENDED, {"run_ids": list(run_ids)}).mappings()
    return [run_from(row) for row in rows]


def read_spent(connection: Connection, root_id: str) -> tuple[int, float]:
    """Return tokens and US dollars used by a run and its descendants."""
    tokens, usd = connection.execute(_SPENT, {"root_id": root_id}).one()
    return int(tokens), float(usd)


def read_counts(connection: Connection) -> Mapping[str, Mapping[str, int]]:
    """Return how many runs there are, by flow and state."""
    counts: dict[str, dict[str, int]] = {}
    for flow, state, count in connection.execute(_COUNTS):
        counts.setdefault(flow, {})[state] = count
    return counts


def read_newest(connection: Connection, which: RunFilter) -> Sequence[Run]:
    """Return the runs that the filter lets through, newest first."""
    statement = (
        SELECT_RUNS.where(and_(True, *_conditions(which)))
        .order_by(runs.c.created_at.desc(), runs.c.run_id.desc())
        .limit(which.limit)
    )
    return [run_from(row) for row in connection.execute(statement).mappings()]


def _conditions(which: RunFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if which.states:
        found.append(runs.c.state.in_(sorted(state.value for state in which.states)))
    if which.flow is not None:
        found.append(runs.c.flow == which.flow)
    if which.tenant is not None:
        found.append(runs.c.tenant == which.tenant)
    if which.before is not None:
        found.append(_before(which.before))
    if which.parent_id is not None:
        found.append(runs.c.parent_id == which.parent_id)
    if which.singleton is not None:
        found.append(runs.c.singleton == which.singleton)
    if which.fingerprint is not None:
        found.append(_fingerprinted(which.fingerprint))
    if which.not_replayed:
        found.append(runs.c.replayed_as.is_(None))
    found.extend(_tagged(name, value) for name, value in which.tags.items())
    return found


def _before(run_id: str) -> ColumnElement[bool]:
    """Older than that run; an unknown run has nothing before it."""
    other: Any = runs.alias("other")
    created_at = select(other.c.created_at).where(other.c.run_id == run_id).scalar_subquery()
    return tuple_(runs.c.created_at, runs.c.run_id) < tuple_(created_at, literal(run_id))


def _fingerprinted(fingerprint: str) -> ColumnElement[bool]:
    """Of that fingerprint; of none where it is empty."""
    return runs.c.fingerprint == fingerprint if fingerprint else runs.c.fingerprint.is_(None)


def _tagged(name: str, value: str) -> ColumnElement[bool]:
    """Search the stored JSON, which is canonical: an entry follows `{` or `,`.

    Inside a string every quote is escaped, so nothing else can look like an entry.
    """
    entry = f"{dumps(name)}:{dumps(value)}"
    return or_(*(holds_text(runs.c.tags, f"{opening}{entry}") for opening in "{,"))
