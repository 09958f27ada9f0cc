"""Writes what the rules changed in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from sqlalchemy import Connection, bindparam, insert, update

from envelope.canonical import canonical_json
from worker.journal.ledger_book import EffectEntry, LedgerChanges
from worker.journal.ledger_tables import approvals, effect_recipients, effects

K = TypeVar("K", str, tuple[str, str])
V = TypeVar("V")

_DECIDED = ("state", "decided_by", "decided_at", "reason", "consumed_by", "consumed_at")
_INSERT_EFFECT = insert(effects)
_INSERT_RECIPIENT = insert(effect_recipients)
_INSERT_APPROVAL = insert(approvals)
_UPDATE_EFFECT = (
    update(effects)
    .where(effects.c.tenant == bindparam("at_tenant"), effects.c.key == bindparam("at_key"))
    .values(
        {
            column.name: bindparam(column.name)
            for column in effects.c
            if column.name not in {"tenant", "key"}
        }
    )
)
_REACH = (
    update(effect_recipients)
    .where(effect_recipients.c.tenant == bindparam("at_tenant"))
    .where(effect_recipients.c.key == bindparam("at_key"))
    .values(at=bindparam("reached_at"))
)
_UPDATE_APPROVAL = (
    update(approvals)
    .where(approvals.c.approval_id == bindparam("at_approval"))
    .values({name: bindparam(name) for name in _DECIDED})
)


def write_ledger(connection: Connection, changes: LedgerChanges) -> None:
    """Write everything that changed; new rows in the order of their keys, so that two processes
    that enter the same ones wait for each other in one order.
    """
    new = _in_order(changes.new_effects)
    _many(connection, _INSERT_EFFECT, [_effect_values(entry) for entry in new])
    _many(connection, _INSERT_RECIPIENT, [row for entry in new for row in _recipients(entry)])
    known = [
        {"at_tenant": entry.effect.tenant, "at_key": entry.effect.key, **_effect_values(entry)}
        for entry in changes.effects.values()
    ]
    _many(connection, _UPDATE_EFFECT, known)
    reached = [
        {"at_tenant": tenant, "at_key": key, "reached_at": at}
        for (tenant, key), at in changes.reached.items()
    ]
    _many(connection, _REACH, reached)
    asked = [asdict(row) for row in _in_order(changes.new_approvals)]
    _many(connection, _INSERT_APPROVAL, asked)
    decided = [
        {"at_approval": name, **{column: getattr(row, column) for column in _DECIDED}}
        for name, row in changes.approvals.items()
    ]
    _many(connection, _UPDATE_APPROVAL, decided)


def _in_order(rows: Mapping[K, V]) -> Iterable[V]:
    return [rows[name] for name in sorted(rows)]


def _many(connection: Connection, statement: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(statement, rows)


def _effect_values(entry: EffectEntry) -> dict[str, Any]:
    effect = entry.effect
    return {
        "tenant": effect.tenant,
        "key": effect.key,
        "run_id": effect.run_id,
        "step": effect.step,
        "channel": effect.channel,
        "recipients": canonical_json(list(effect.recipients)),
        "content_sha256": effect.content_sha256,
        "title": effect.title,
        "deduplicates": effect.deduplicates,
        "state": effect.state.value,
        "tries": effect.tries,
        "attempt": entry.attempt,
        "epoch": entry.epoch,
        "executor": entry.executor,
        "nonce": entry.nonce,
        "unresolved": effect.unresolved,
        "intended_at": effect.intended_at,
        "concluded_at": effect.concluded_at,
        "approval_id": effect.approval_id,
        "receipt": canonical_json(dict(effect.receipt)),
        "reason": effect.reason,
        "settled_by": effect.settled_by,
    }


def _recipients(entry: EffectEntry) -> Iterable[dict[str, Any]]:
    for tenant, channel, recipient in entry.places:
        yield {
            "tenant": tenant,
            "key": entry.effect.key,
            "recipient": recipient,
            "channel": channel,
            "at": entry.reached_at,
        }
