"""Fills a journal with copies of a run: what weeks of work would leave, within seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, create_engine, insert, select

from envelope.ids import new_id
from worker.journal.tables import attempts, events, payloads, runs, steps

_TABLES = (runs, payloads, steps, attempts, events)
_AT_ONCE = 500

Rows = Mapping[Table, Sequence[dict[str, Any]]]


def multiply_run(url: str, count: int) -> None:
    """Make the journal's one run into `count` runs with the same rows each.

    Args:
        url: The journal's database, as SQLAlchemy takes it.
        count: How many runs it shall hold; at least 1.

    Raises:
        ValueError: It does not hold exactly one run.
    """
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            template = {table: _rows(connection, table) for table in _TABLES}
        if len(template[runs]) != 1:
            raise ValueError(
                f"A journal of one run is multiplied, not one of {len(template[runs])}"
            )
        for start in range(1, count, _AT_ONCE):
            with engine.begin() as connection:
                _copy(connection, template, min(_AT_ONCE, count - start))
    finally:
        engine.dispose()


def _rows(connection: Connection, table: Table) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(select(table)).mappings()]


def _copy(connection: Connection, template: Rows, count: int) -> None:
    ids = [new_id() for _ in range(count)]
    original = template[runs][0]["run_id"]
    for table, rows in template.items():
        copies = [_renamed(row, original, run_id) for run_id in ids for row in rows]
        if copies:
            connection.execute(insert(table), copies)


def _renamed(row: dict[str, Any], original: str, run_id: str) -> dict[str, Any]:
    return {name: run_id if value == original else value for name, value in row.items()}
