"""Turns rows of the database into the port's frozen forms, whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from json import loads
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    Select,
    bindparam,
    func,
    literal_column,
    select,
)

from envelope.ports.journal_rows import (
    SETTLED_STATES,
    Attempt,
    Event,
    Run,
    RunState,
    Signal,
    Step,
    StepState,
)
from worker.journal.matching import any_of, pair_of
from worker.journal.tables import attempts, events, payloads, runs, signals, steps
from worker.journal.waits import waits_from

RUN_COLUMNS = (
    runs.c.run_id,
    runs.c.flow,
    runs.c.version,
    runs.c.state,
    runs.c.tenant,
    runs.c.user_id.label("user"),
    runs.c.thread_id.label("thread"),
    runs.c.idempotency_key.label("key"),
    runs.c.source,
    runs.c.tags,
    runs.c.priority,
    runs.c.allow_delivery,
    runs.c.trace_id,
    payloads.c.payload,
    runs.c.payload_sha256,
    runs.c.epoch,
    runs.c.owner,
    runs.c.losses,
    runs.c.sends,
    runs.c.events,
    runs.c.steps_done,
    runs.c.created_at,
    runs.c.available_at,
    runs.c.sent_at,
    runs.c.started_at,
    runs.c.finished_at,
    runs.c.cancel_reason,
    runs.c.envelope,
    runs.c.failure,
    runs.c.trace,
    runs.c.singleton,
    runs.c.parent_id,
    runs.c.root_id,
    runs.c.budget_tokens,
    runs.c.budget_usd,
    runs.c.spent_tokens,
    runs.c.spent_usd,
    runs.c.waits,
    runs.c.fingerprint,
    runs.c.replay_of,
    runs.c.replayed_as,
    func.coalesce(runs.c.origin_id, runs.c.run_id).label("origin_id"),
)
SELECT_RUNS = select(*RUN_COLUMNS).join(payloads, payloads.c.run_id == runs.c.run_id)

_STEP_COLUMNS = (
    steps.c.run_id,
    steps.c.step,
    steps.c.agent,
    steps.c.kind,
    steps.c.state,
    steps.c.inline,
    steps.c.input_sha256,
    steps.c.input,
    steps.c.attempt,
    steps.c.losses,
    steps.c.executor,
    steps.c.result,
    steps.c.failure,
    steps.c.sent_at,
    steps.c.started_at,
    steps.c.finished_at,
    steps.c.position,
)
_SELECT_STEPS = select(*_STEP_COLUMNS)
_RUN_NAMES = tuple(column.name for column in RUN_COLUMNS)
_STEP_NAMES = tuple(column.name for column in _STEP_COLUMNS)
_RUNS = SELECT_RUNS.where(any_of(runs.c.run_id, "run_ids"))
_STEPS_OF_RUNS = _SELECT_STEPS.where(any_of(steps.c.run_id, "run_ids")).order_by(
    steps.c.run_id, steps.c.position
)
_NAMED_STEPS = _SELECT_STEPS.where(pair_of(steps.c.run_id, steps.c.step, "names"))
_STEPS_WITH_RUNS = (
    select(*_STEP_COLUMNS, *RUN_COLUMNS)
    .join(runs, runs.c.run_id == steps.c.run_id)
    .join(payloads, payloads.c.run_id == steps.c.run_id)
    .where(pair_of(steps.c.run_id, steps.c.step, "names"))
)
_SETTLED_STEPS = _NAMED_STEPS.where(steps.c.state.in_(sorted(s.value for s in SETTLED_STATES)))
_RUNNING_STEPS = select(steps.c.run_id, steps.c.step).where(
    pair_of(steps.c.run_id, steps.c.step, "names"), steps.c.state == StepState.RUNNING.value
)
# The literal lets the planner see that the partial index on running runs answers this.
_OWNED = select(runs.c.run_id, runs.c.epoch).where(
    runs.c.owner == bindparam("worker_id"), runs.c.state == literal_column("'running'")
)
_ORIGINS = (
    select(events.c.run_id, events.c.origin)
    .where(any_of(events.c.run_id, "run_ids"))
    .where(events.c.origin.is_not(None))
)
_ATTEMPTS = select(
    attempts.c.step,
    attempts.c.attempt,
    attempts.c.executor,
    attempts.c.outcome,
    attempts.c.seconds,
    attempts.c.failure,
    attempts.c.finished_at,
)
_EVENTS = select(
    events.c.run_id,
    events.c.number,
    events.c.type,
    events.c.at,
    events.c.step,
    events.c.data,
)
_SIGNALS = select(
    signals.c.run_id, signals.c.number, signals.c.name, signals.c.data, signals.c.at
).order_by(signals.c.run_id, signals.c.number)
_SIGNALS_OF_RUNS = _SIGNALS.where(any_of(signals.c.run_id, "run_ids"))


def read_runs(connection: Connection, run_ids: Collection[str]) -> Mapping[str, Run]:
    """Return the runs of these ids, by id."""
    if not run_ids:
        return {}
    rows = connection.execute(_RUNS, {"run_ids": list(run_ids)})
    return {row[0]: _run(row) for row in rows}


def run_from(row: RowMapping) -> Run:
    """Return the run in a row of `SELECT_RUNS`."""
    return _run(tuple(row.values()))


def read_steps_of(connection: Connection, run_ids: Collection[str]) -> Mapping[str, Sequence[Step]]:
    """Return all steps of these runs, in the order in which they were first written."""
    found: dict[str, list[Step]] = defaultdict(list)
    if run_ids:
        for row in connection.execute(_STEPS_OF_RUNS, {"run_ids": list(run_ids)}):
            found[row[0]].append(_step(row))
    return found


def read_steps(
    connection: Connection, names: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], Step]:
    """Return the steps named, by name."""
    return _read_named(connection, _NAMED_STEPS, names)


def read_steps_with_runs(
    connection: Connection, names: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], tuple[Step, Run]]:
    """Return the steps named, by name, each with its run."""
    if not names:
        return {}
    rows = connection.execute(_STEPS_WITH_RUNS, {"names": list(names)})
    width = len(_STEP_COLUMNS)
    return {(row[0], row[1]): (_step(row[:width]), _run(row[width:])) for row in rows}


def read_settled(
    connection: Connection, names: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], Step]:
    """Return those of the steps named that are settled, by name."""
    return _read_named(connection, _SETTLED_STEPS, names)


def read_running(
    connection: Connection, names: Collection[tuple[str, str]]
) -> Collection[tuple[str, str]]:
    """Return the names of those of the steps named that somebody executes."""
    rows = connection.execute(_RUNNING_STEPS, {"names": list(names)}) if names else ()
    return {(run_id, step) for run_id, step in rows}


def read_owned(connection: Connection, worker_id: str) -> Mapping[str, int]:
    """Return the epochs of the runs that are running in the name of a worker, by run id."""
    rows = connection.execute(_OWNED, {"worker_id": worker_id})
    return {row[0]: row[1] for row in rows}


def read_origins(connection: Connection, run_ids: Collection[str]) -> Mapping[str, frozenset[str]]:
    """Return the origins of these runs' events."""
    found: dict[str, set[str]] = defaultdict(set)
    if run_ids:
        for run_id, origin in connection.execute(_ORIGINS, {"run_ids": list(run_ids)}):
            found[run_id].add(origin)
    return {run_id: frozenset(origins) for run_id, origins in found.items()}


def read_attempts(connection: Connection, run_id: str) -> Sequence[Attempt]:
    """Return a run's attempts in the order in which they were written."""
    statement = _ATTEMPTS.where(attempts.c.run_id == run_id).order_by(attempts.c.number)
    return [Attempt(**row) for row in connection.execute(statement).mappings()]


def read_events(connection: Connection, run_id: str, after: int, limit: int) -> Sequence[Event]:
    """Return a run's events above the number `after`."""
    statement = (
        _EVENTS.where(events.c.run_id == run_id, events.c.number > after)
        .order_by(events.c.number)
        .limit(limit)
    )
    return [Event(**row) for row in connection.execute(statement).mappings()]


def read_signals(connection: Connection, run_id: str, after: int) -> Sequence[Signal]:
    """Return a run's signals above the number `after`."""
    statement = _SIGNALS.where(signals.c.run_id == run_id, signals.c.number > after)
    return [Signal(**row) for row in connection.execute(statement).mappings()]


def read_signals_of(
    connection: Connection, run_ids: Collection[str]
) -> Mapping[str, Sequence[Signal]]:
    """Return all signals of these runs, in order."""
    found: dict[str, list[Signal]] = defaultdict(list)
    if run_ids:
        for row in connection.execute(_SIGNALS_OF_RUNS, {"run_ids": list(run_ids)}).mappings():
            found[row["run_id"]].append(Signal(**row))
    return found


def _read_named(
    connection: Connection, statement: Select[Any], names: Collection[tuple[str, str]]
) -> Mapping[tuple[str, str], Step]:
    if not names:
        return {}
    rows = connection.execute(statement, {"names": list(names)})
    return {(row[0], row[1]): _step(row) for row in rows}


def _run(row: Sequence[Any]) -> Run:
    values = dict(zip(_RUN_NAMES, row, strict=True))
    values["state"] = RunState(values["state"])
    values["tags"] = loads(values["tags"])
    values["waits"] = waits_from(values["waits"])
    return Run(**values)


def _step(row: Sequence[Any]) -> Step:
    values = dict(zip(_STEP_NAMES, row, strict=True))
    values["state"] = StepState(values["state"])
    return Step(**values)
