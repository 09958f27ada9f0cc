"""Writes what the rules changed: one statement per kind of change, executed for all its rows."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from worker.journal.changes import Changes
from worker.journal.many import ForMany
from worker.journal.matching import any_of
from worker.journal.rows import RunRow
from worker.journal.step_rows import StepRow
from worker.journal.tables import attempts, events, payloads, runs, steps
from worker.journal.write_ties import tie_values, write_ties

_INSERT_RUN = ForMany(insert(runs))
_INSERT_PAYLOAD = ForMany(insert(payloads))
_INSERT_STEP = ForMany(insert(steps))
_INSERT_ATTEMPT = ForMany(insert(attempts))
_INSERT_EVENT = ForMany(insert(events))

_MOVED = ("state", "attempt", "losses", "executor", "result", "failure")
_TIMES = ("sent_at", "started_at", "finished_at")
_WRITTEN = ("agent", "kind", "inline", "input_sha256", "input")
_PROGRESS = (
    "state",
    "epoch",
    "owner",
    "losses",
    "sends",
    "events",
    "positions",
    "attempts",
    "steps_done",
    "sent_at",
    "started_at",
    "cancel_reason",
    "spent_tokens",
    "spent_usd",
)
_ENDED = (*_PROGRESS, "finished_at", "envelope", "failure", "trace", "fingerprint")


def _update_step(*columns: str) -> ForMany:
    return ForMany(
        update(steps)
        .where(steps.c.run_id == bindparam("at_run"), steps.c.step == bindparam("at_step"))
        .values({name: bindparam(name) for name in columns})
    )


def _update_run(*columns: str) -> ForMany:
    return ForMany(
        update(runs)
        .where(runs.c.run_id == bindparam("at_run"))
        .values({name: bindparam(name) for name in columns})
    )


_KEPT = ("step", "position", *_WRITTEN, *_MOVED, *_TIMES)
_COPY_STEPS = insert(steps).from_select(
    ["run_id", *_KEPT],
    select(bindparam("run_id", type_=steps.c.run_id.type), *(steps.c[name] for name in _KEPT))
    .where(steps.c.run_id == bindparam("source_id"))
    .where(any_of(steps.c.step, "steps")),
)
_REWRITE_STEP = _update_step(*_WRITTEN, *_MOVED, *_TIMES)
_MOVE_STEP = _update_step(*_MOVED, *_TIMES)
_UPDATE_RUN = _update_run(*_PROGRESS)
_END_RUN = _update_run(*_ENDED)


def write_changes(connection: Connection, changes: Changes) -> None:
    """Write everything that changed, rows before what refers to them."""
    _insert_runs(connection, list(changes.accepted.values()))
    _INSERT_STEP.execute(connection, [_step_values(row) for row in changes.new_steps.values()])
    rewritten = [_step_update(row) for row in changes.rewritten_steps.values()]
    _REWRITE_STEP.execute(connection, rewritten)
    _MOVE_STEP.execute(connection, [_step_move(row) for row in changes.moved_steps.values()])
    for copy in changes.copies:
        connection.execute(_COPY_STEPS, copy._asdict())
    _INSERT_ATTEMPT.execute(connection, [entry._asdict() for entry in changes.attempts])
    _INSERT_EVENT.execute(connection, [entry._asdict() for entry in changes.events])
    known = [row for name, row in changes.runs.items() if name not in changes.accepted]
    open_runs = [_run_update(row, _PROGRESS) for row in known if not row.ended]
    _UPDATE_RUN.execute(connection, open_runs)
    _END_RUN.execute(connection, [_run_update(row, _ENDED) for row in known if row.ended])
    write_ties(connection, changes)


def _insert_runs(connection: Connection, rows: list[RunRow]) -> None:
    # By key, so that two processes that accept the same keys wait for each other in one order.
    rows.sort(key=lambda row: (row.key or "", row.run_id))
    _INSERT_RUN.execute(connection, [_run_values(row) for row in rows])
    payload_rows = [{"run_id": row.run_id, "payload": row.payload} for row in rows]
    _INSERT_PAYLOAD.execute(connection, payload_rows)


def _run_values(row: RunRow) -> dict[str, Any]:
    return {
        "run_id": row.run_id,
        "flow": row.flow,
        "version": row.version,
        "state": row.state.value,
        "tenant": row.tenant,
        "user_id": row.user,
        "thread_id": row.thread,
        "idempotency_key": row.key,
        "source": row.source,
        "tags": tags_text(row.tags),
        "priority": row.priority,
        "allow_delivery": row.allow_delivery,
        "trace_id": row.trace_id,
        "payload_sha256": row.payload_sha256,
        "epoch": row.epoch,
        "owner": row.owner,
        "losses": row.losses,
        "sends": row.sends,
        "events": row.events,
        "positions": row.positions,
        "attempts": row.attempts,
        "steps_done": row.steps_done,
        "created_at": row.created_at,
        "available_at": row.available_at,
        "sent_at": row.sent_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "cancel_reason": row.cancel_reason,
        "envelope": row.envelope,
        "failure": row.failure,
        "trace": row.trace,
        "singleton": row.singleton,
        "parent_id": row.parent_id,
        "root_id": row.root_id,
        "budget_tokens": row.budget_tokens,
        "budget_usd": row.budget_usd,
        "spent_tokens": row.spent_tokens,
        "spent_usd": row.spent_usd,
        "fingerprint": row.fingerprint,
        "replay_of": row.replay_of,
        "origin_id": row.origin_id,
        **tie_values(row),
    }


def tags_text(tags: Mapping[str, str]) -> str:
    """Return tags as they are stored and searched: sorted, without spaces, all ASCII."""
    return dumps(dict(tags), sort_keys=True, separators=(",", ":"))


def _step_values(row: StepRow) -> dict[str, Any]:
    return {
        "run_id": row.run_id,
        "step": row.step,
        "position": row.position,
        **_step_content(row),
        **_step_state(row),
    }


def _step_update(row: StepRow) -> dict[str, Any]:
    return {"at_run": row.run_id, "at_step": row.step, **_step_content(row), **_step_state(row)}


def _step_move(row: StepRow) -> dict[str, Any]:
    return {"at_run": row.run_id, "at_step": row.step, **_step_state(row)}


def _step_content(row: StepRow) -> dict[str, Any]:
    return {
        "agent": row.agent,
        "kind": row.kind,
        "inline": row.inline,
        "input_sha256": row.input_sha256,
        "input": row.input,
    }


def _step_state(row: StepRow) -> dict[str, Any]:
    return {
        "state": row.state.value,
        "attempt": row.attempt,
        "losses": row.losses,
        "executor": row.executor,
        "result": row.result,
        "failure": row.failure,
        "sent_at": row.sent_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
    }


def _run_update(row: RunRow, columns: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in columns}
    values["state"] = row.state.value
    values["at_run"] = row.run_id
    return values
