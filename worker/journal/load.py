"""Loads the rows that a batch needs into a book, and locks its runs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from envelope.ports.journal_rows import RunState, StepState
from worker.journal.book import Book, KeyHolder, Needs
from worker.journal.clock import db_now
from worker.journal.load_ledger import load_ledger, look_ahead
from worker.journal.load_ties import load_ties
from worker.journal.matching import any_of, pair_of
from worker.journal.rows import RunRow
from worker.journal.step_rows import StepRow
from worker.journal.tables import events, runs, steps, workers
from worker.journal.waits import waits_from

# In the order of the primary key everywhere, so that two processes cannot lock each other out.
_LOCK_RUNS = (
    select(
        runs.c.run_id,
        runs.c.flow,
        runs.c.version,
        runs.c.state,
        runs.c.tenant,
        runs.c.priority,
        runs.c.payload_sha256,
        runs.c.created_at,
        runs.c.available_at,
        runs.c.epoch,
        runs.c.owner,
        runs.c.losses,
        runs.c.sends,
        runs.c.events,
        runs.c.positions,
        runs.c.attempts,
        runs.c.steps_done,
        runs.c.sent_at,
        runs.c.started_at,
        runs.c.finished_at,
        runs.c.cancel_reason,
        runs.c.spent_tokens,
        runs.c.spent_usd,
        runs.c.singleton,
        runs.c.waits,
        runs.c.replayed_as,
        runs.c.signals,
        runs.c.children,
        runs.c.awaited,
        runs.c.unasked,
        runs.c.cancel_epoch,
        runs.c.origin_id,
        runs.c.trace_id,
    )
    .where(any_of(runs.c.run_id, "run_ids"))
    .order_by(runs.c.run_id)
    .with_for_update(key_share=True)
)
_CLOCK = select(db_now())
_STEP_COLUMNS = (
    steps.c.run_id,
    steps.c.step,
    steps.c.agent,
    steps.c.kind,
    steps.c.state,
    steps.c.position,
    steps.c.attempt,
    steps.c.losses,
    steps.c.executor,
    steps.c.failure,
    steps.c.sent_at,
    steps.c.started_at,
    steps.c.finished_at,
)
_NAMED_STEPS = select(*_STEP_COLUMNS).where(pair_of(steps.c.run_id, steps.c.step, "names"))
_OPEN_STEPS = (
    select(*_STEP_COLUMNS)
    .where(any_of(steps.c.run_id, "run_ids"))
    .where(steps.c.state.in_([StepState.QUEUED.value, StepState.RUNNING.value]))
)
_ALL_STEPS = select(*_STEP_COLUMNS).where(any_of(steps.c.run_id, "run_ids"))
_ORIGINS = (
    select(events.c.run_id, events.c.origin)
    .where(pair_of(events.c.run_id, events.c.origin, "places"))
    .where(events.c.origin.is_not(None))
)
_KEYS = (
    select(runs.c.tenant, runs.c.flow, runs.c.idempotency_key, runs.c.run_id, runs.c.payload_sha256)
    .where(any_of(runs.c.idempotency_key, "keys"))
    .where(runs.c.idempotency_key.is_not(None))
)
_LIVING = select(workers.c.worker_id).where(workers.c.expires_at > db_now())


def load_book(connection: Connection, needs: Needs) -> Book:
    """Return the rows under their locks.

    The clock is read after the locks were granted: what waited for another process happens after
    it, by the clock too.
    """
    book = Book()
    look_ahead(connection, needs)
    if needs.runs:
        _load_runs(connection, needs, book)
    _load_needed_steps(connection, needs, book)
    if needs.origins:
        rows = connection.execute(_ORIGINS, {"places": list(needs.origins)})
        book.origins.update((run_id, origin) for run_id, origin in rows)
    if needs.keys:
        _load_keys(connection, needs, book)
    load_ties(connection, needs, book)
    load_ledger(connection, needs, book)
    if needs.leases:
        book.living = frozenset(connection.scalars(_LIVING))
    book.now = connection.execute(_CLOCK).scalar_one()
    return book


def _load_runs(connection: Connection, needs: Needs, book: Book) -> None:
    for row in connection.execute(_LOCK_RUNS, {"run_ids": list(needs.runs)}):
        run = RunRow(
            run_id=row[0],
            flow=row[1],
            version=row[2],
            state=RunState(row[3]),
            tenant=row[4],
            priority=row[5],
            payload_sha256=row[6],
            created_at=row[7],
            available_at=row[8],
            epoch=row[9],
            owner=row[10],
            losses=row[11],
            sends=row[12],
            events=row[13],
            positions=row[14],
            attempts=row[15],
            steps_done=row[16],
            sent_at=row[17],
            started_at=row[18],
            finished_at=row[19],
            cancel_reason=row[20],
            spent_tokens=row[21],
            spent_usd=row[22],
            singleton=row[23],
            waits=waits_from(row[24]),
            replayed_as=row[25],
            signals=row[26],
            children=row[27],
            awaited=row[28],
            unasked=row[29],
            cancel_epoch=row[30],
            origin_id=row[31],
            trace_id=row[32],
        )
        book.runs[run.run_id] = run


def _load_needed_steps(connection: Connection, needs: Needs, book: Book) -> None:
    if needs.steps:
        _load_steps(connection.execute(_NAMED_STEPS, {"names": list(needs.steps)}), book)
    if needs.open_steps:
        _load_steps(connection.execute(_OPEN_STEPS, {"run_ids": list(needs.open_steps)}), book)
    if needs.replays:
        _load_steps(connection.execute(_ALL_STEPS, {"run_ids": list(needs.replays)}), book)


def _load_steps(rows: Any, book: Book) -> None:
    for row in rows:
        book.steps.setdefault(
            (row[0], row[1]),
            StepRow(
                run_id=row[0],
                step=row[1],
                agent=row[2],
                kind=row[3],
                state=StepState(row[4]),
                position=row[5],
                attempt=row[6],
                losses=row[7],
                executor=row[8],
                failure=row[9],
                sent_at=row[10],
                started_at=row[11],
                finished_at=row[12],
            ),
        )


def _load_keys(connection: Connection, needs: Needs, book: Book) -> None:
    keys = {key for _, _, key in needs.keys}
    for tenant, flow, key, run_id, payload_sha256 in connection.execute(
        _KEYS, {"keys": list(keys)}
    ):
        book.keys[tenant, flow, key] = KeyHolder(run_id, payload_sha256)
