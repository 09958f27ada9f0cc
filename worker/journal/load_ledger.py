"""Loads the ledger's rows that a batch needs, and locks them after its runs.

An effect and an approval name their run only in their row, and runs are locked first, everywhere.
So the rows are looked at ahead, without a lock; if they name another run once they are locked, the
batch is decided anew.
"""

from __future__ import annotations

from sqlalchemy import Connection, literal_column, select

from envelope.approval import ApprovalState
from envelope.ports.ledger import ApprovalRow, Suppression
from worker.journal.book import Book, Needs
from worker.journal.ledger_book import EffectEntry, LedgerBook, LedgerNeeds
from worker.journal.ledger_rows import effect_from
from worker.journal.ledger_tables import approvals, effects, suppressions
from worker.journal.matching import any_of, pair_of
from worker.journal.reached import lock_places, read_reached
from worker.journal.trouble import Overtaken

_NAMED = pair_of(effects.c.tenant, effects.c.key, "names")
_SENDERS = select(effects.c.run_id, effects.c.step, effects.c.approval_id).where(_NAMED)
_LOCK_EFFECTS = (
    select(effects).where(_NAMED).order_by(effects.c.tenant, effects.c.key).with_for_update()
)
_APPROVED = approvals.c.state == literal_column(f"'{ApprovalState.APPROVED.value}'")
_CONSENTS = select(approvals.c.approval_id).where(
    pair_of(approvals.c.content_sha256, approvals.c.tenant, "contents"), _APPROVED
)
_ASKERS = select(approvals.c.run_id).where(any_of(approvals.c.approval_id, "names"))
_LOCK_APPROVALS = (
    select(*(column for column in approvals.c if column.name != "content"))
    .where(any_of(approvals.c.approval_id, "names"))
    .order_by(approvals.c.approval_id)
    .with_for_update()
)
_SUPPRESSIONS = select(suppressions).where(
    pair_of(suppressions.c.tenant, suppressions.c.recipient, "pairs")
)


def look_ahead(connection: Connection, needs: Needs) -> None:
    """Name what the rows that are needed refer to; a batch without effects asks for nothing."""
    ledger = needs.ledger
    if ledger.effects:
        for row in connection.execute(_SENDERS, {"names": list(ledger.effects)}):
            needs.runs.add(row.run_id)
            needs.steps.add((row.run_id, row.step))
            if row.approval_id is not None:
                ledger.approvals.add(row.approval_id)
    if ledger.consents:
        contents = [(sha256, tenant) for tenant, sha256 in ledger.consents]
        ledger.approvals.update(connection.scalars(_CONSENTS, {"contents": contents}))
    if ledger.decisions:
        run_ids = connection.scalars(_ASKERS, {"names": list(ledger.decisions)}).all()
        needs.runs.update(run_ids)
        needs.signals.update(run_ids)


def load_ledger(connection: Connection, needs: Needs, book: Book) -> None:
    """Load and lock, one kind of row after the other, each in the order of its key.

    Raises:
        Overtaken: A row refers to a run that was not locked.
    """
    ledger = needs.ledger
    if ledger.effects:
        _load_effects(connection, needs, book.ledger)
    if ledger.approvals or ledger.decisions:
        _load_approvals(connection, needs, book.ledger)
    if ledger.reached:
        lock_places(connection, ledger.reached)
        for (tenant, channel, recipient), key, at in read_reached(connection, ledger.reached):
            book.ledger.reached[tenant, channel, recipient][key] = at
    if ledger.recipients:
        _load_suppressions(connection, ledger, book.ledger)


def _load_effects(connection: Connection, needs: Needs, book: LedgerBook) -> None:
    for row in connection.execute(_LOCK_EFFECTS, {"names": list(needs.ledger.effects)}):
        if row.run_id not in needs.runs or (row.run_id, row.step) not in needs.steps:
            raise Overtaken(f"effect {row.key!r} was begun by another run")
        entry = EffectEntry(
            effect=effect_from(row),
            attempt=row.attempt,
            epoch=row.epoch,
            executor=row.executor,
            nonce=row.nonce,
        )
        book.effects[entry.name] = entry


def _load_approvals(connection: Connection, needs: Needs, book: LedgerBook) -> None:
    ledger = needs.ledger
    names = list(ledger.approvals | ledger.decisions)
    for row in connection.execute(_LOCK_APPROVALS, {"names": names}).mappings():
        if row["approval_id"] in ledger.decisions and row["run_id"] not in needs.runs:
            raise Overtaken(f"approval {row['approval_id']!r} was asked for meanwhile")
        values = dict(row, state=ApprovalState(row["state"]), content="")
        book.keep_approval(ApprovalRow(**values))


def _load_suppressions(connection: Connection, needs: LedgerNeeds, book: LedgerBook) -> None:
    rows = connection.execute(_SUPPRESSIONS, {"pairs": list(needs.recipients)}).mappings()
    for row in rows:
        suppression = Suppression(**row)
        place = (suppression.tenant, suppression.channel, suppression.recipient)
        book.suppressions[place] = suppression
