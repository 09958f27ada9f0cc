"""Reads effects and approvals, in SQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    bindparam,
    false,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)

from envelope.approval import ApprovalState
from envelope.effect import EffectState
from envelope.ports.ledger import ApprovalFilter, ApprovalRow, EffectFilter, EffectRow
from worker.journal.clock import db_now
from worker.journal.consents import judged
from worker.journal.ledger_rows import effect_from
from worker.journal.ledger_tables import NOT_SENT, approvals, effect_recipients, effects
from worker.journal.matching import any_of
from worker.journal.tables import runs

_EFFECT = select(effects).where(
    effects.c.tenant == bindparam("tenant"), effects.c.key == bindparam("key")
)
_IN_TIME = approvals.c.expires_at > db_now()
# Not a join, which a planner could begin with the runs.
_RUN_ACTIVE = func.coalesce(
    select(runs.c.finished_at.is_(None))
    .where(runs.c.run_id == approvals.c.run_id)
    .correlate(approvals)
    .scalar_subquery(),
    false(),
)
_JUDGED_BY = (_RUN_ACTIVE.label("active"), db_now().label("now"))
_APPROVALS = select(approvals, *_JUDGED_BY)
_WITHOUT_CONTENTS = select(
    *(column for column in approvals.c if column.name != "content"),
    literal_column("''").label("content"),
    *_JUDGED_BY,
)
_NAMED = _APPROVALS.where(any_of(approvals.c.approval_id, "names"))


def read_effect(connection: Connection, tenant: str, key: str) -> EffectRow | None:
    """Return an effect."""
    row = connection.execute(_EFFECT, {"tenant": tenant, "key": key}).first()
    return None if row is None else effect_from(row)


def read_effects(connection: Connection, matching: EffectFilter) -> Sequence[EffectRow]:
    """Return the effects that the filter lets through, newest first."""
    statement = (
        select(effects)
        .where(and_(True, *_effect_conditions(matching)))
        .order_by(effects.c.intended_at.desc(), effects.c.tenant.desc(), effects.c.key.desc())
        .limit(max(0, matching.limit))
    )
    return [effect_from(row) for row in connection.execute(statement)]


def read_approvals(connection: Connection, names: Collection[str]) -> Mapping[str, ApprovalRow]:
    """Return the approvals of these ids, by id."""
    if not names:
        return {}
    rows = connection.execute(_NAMED, {"names": list(names)}).mappings()
    return {row["approval_id"]: _approval_from(row) for row in rows}


def read_newest_approvals(
    connection: Connection, matching: ApprovalFilter
) -> Sequence[ApprovalRow]:
    """Return the approvals that the filter lets through, newest first."""
    statement = (
        (_APPROVALS if matching.contents else _WITHOUT_CONTENTS)
        .where(and_(True, *_approval_conditions(matching)))
        .order_by(approvals.c.asked_at.desc(), approvals.c.approval_id.desc())
        .limit(max(0, matching.limit))
    )
    return [_approval_from(row) for row in connection.execute(statement).mappings()]


def _approval_from(row: RowMapping) -> ApprovalRow:
    values: dict[str, Any] = dict(row, state=ApprovalState(row["state"]))
    active, now = values.pop("active"), values.pop("now")
    return judged(ApprovalRow(**values), now, run_ended=not active)


def _effect_conditions(matching: EffectFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if matching.tenant is not None:
        found.append(effects.c.tenant == matching.tenant)
    if matching.state is not None:
        found.append(effects.c.state == matching.state.value)
    if matching.state not in {None, EffectState.SENT}:
        # Said once more for the planner: what was not sent has an index of its own.
        found.append(literal_column(NOT_SENT))
    if matching.channel is not None:
        found.append(effects.c.channel == matching.channel)
    if matching.run_id is not None:
        found.append(effects.c.run_id == matching.run_id)
    if matching.recipient is not None:
        found.append(_reaches(matching.recipient))
    return found


def _reaches(recipient: str) -> ColumnElement[bool]:
    theirs = select(effect_recipients.c.tenant, effect_recipients.c.key).where(
        effect_recipients.c.recipient == recipient
    )
    return tuple_(effects.c.tenant, effects.c.key).in_(theirs)


def _approval_conditions(matching: ApprovalFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if matching.tenant is not None:
        found.append(approvals.c.tenant == matching.tenant)
    if matching.state is not None:
        found.append(_counts_as(matching.state))
    if matching.run_id is not None:
        found.append(approvals.c.run_id == matching.run_id)
    if matching.channel is not None:
        found.append(approvals.c.channel == matching.channel)
    if matching.content_sha256 is not None:
        found.append(approvals.c.content_sha256 == matching.content_sha256)
    return found


def _counts_as(state: ApprovalState) -> ColumnElement[bool]:
    """The condition that `judged` finds this state."""
    pending, approved = _is(ApprovalState.PENDING), _is(ApprovalState.APPROVED)
    match state:
        case ApprovalState.PENDING:
            return and_(pending, _IN_TIME, _RUN_ACTIVE)
        case ApprovalState.APPROVED:
            return and_(approved, _IN_TIME)
        case ApprovalState.EXPIRED:
            return or_(and_(pending, or_(~_IN_TIME, ~_RUN_ACTIVE)), and_(approved, ~_IN_TIME))
        case _:
            return _is(state)


def _is(state: ApprovalState) -> ColumnElement[bool]:
    # Not a parameter: the planner must see that the index of what is approved covers it.
    return approvals.c.state == literal_column(f"'{state.value}'")
