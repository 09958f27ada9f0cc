"""Record tables in Postgres, in the schema `muster_records`, away from the journal's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg import sql

from agents.db_write.columns import (
    ALL,
    JSON_COLUMNS,
    WRITTEN,
    check_fields,
    check_rows,
    checked_table,
    foreign_table,
    stored,
    values,
)
from agents.db_write.port import Outcome, Scalar, StoredRecord
from agents.sql.postgres import Connection, PostgresDatabase
from envelope.canonical import canonical_json

_SCHEMA: Final = "muster_records"
_PRESENT: Final = "SELECT to_regnamespace('muster_records') IS NOT NULL"
_MAKE_SCHEMA: Final = "CREATE SCHEMA muster_records"
_COLUMNS: Final = sql.SQL(", ").join(sql.Identifier(name) for name in WRITTEN)
_CHANGES: Final = sql.SQL(", ").join(
    sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in WRITTEN
)
_MAKE: Final = sql.SQL(
    """CREATE TABLE IF NOT EXISTS {table}(
        tenant text NOT NULL,
        id text NOT NULL,
        run_id text NOT NULL,
        record_id text NOT NULL,
        data json NOT NULL,
        source text NOT NULL,
        row_id text NOT NULL,
        sha256 text NOT NULL,
        retrieved_at text NOT NULL,
        agent text,
        model text,
        prompt_sha256 text,
        derived_from json NOT NULL,
        raw_row json,
        updated_at timestamptz NOT NULL,
        PRIMARY KEY(tenant, id))"""
)
_CASTS: Final = sql.SQL(", ").join(
    sql.SQL("{}::json" if name in JSON_COLUMNS else "{}").format(sql.Identifier(name))
    for name in WRITTEN
)
_ARRAYS: Final = sql.SQL(", ").join(sql.SQL("%s::text[]") for _ in WRITTEN)
# One statement for all rows, or a store far away costs a round trip each; in the order of keys, or
# two transactions over the same rows could wait for each other.
_UPSERT: Final = sql.SQL(
    """INSERT INTO {table} AS held ({columns}, updated_at)
    SELECT {casts}, clock_timestamp() FROM unnest({arrays}) AS given({columns})
    ORDER BY tenant, id
    ON CONFLICT (tenant, id) DO UPDATE SET {changes}, updated_at = EXCLUDED.updated_at
    WHERE (held.record_id, held.run_id) <> (EXCLUDED.record_id, EXCLUDED.run_id)
    RETURNING tenant, id, xmax = 0"""
)
_PAGE: Final = sql.SQL(
    """SELECT {columns} FROM {table}
    WHERE tenant = %s AND id COLLATE "C" > %s{conditions} ORDER BY id COLLATE "C" LIMIT %s"""
)
_FITS: Final = sql.SQL(" AND coalesce(data::jsonb -> %s, 'null') = %s::jsonb")
_READ: Final = sql.SQL("SELECT {columns} FROM {table} WHERE tenant = %s AND id = %s")
_COUNT: Final = sql.SQL("SELECT count(*) FROM {table} WHERE tenant = %s")


class PostgresRecords:
    """A `RecordStore` in Postgres (Supabase included).

    Args:
        url: `postgresql://user:password@host/name`. The user may create a schema, or the schema
            `muster_records` exists and belongs to it.
    """

    def __init__(self, url: str) -> None:
        self._database = PostgresDatabase(url, _PRESENT, [_MAKE_SCHEMA])
        self._known: set[str] = set()

    def upsert(self, table: str, rows: Sequence[StoredRecord]) -> list[Outcome]:
        """Write `rows` in one transaction; see `RecordStore.upsert`."""
        name = checked_table(table)
        check_rows(rows)
        with self._database.transaction() as connection:
            self._make_table(connection, name)
            written = _write(connection, name, rows)
        self._known.add(name)
        return [written.get((row.tenant, row.key), "unchanged") for row in rows]

    def read(self, table: str, tenant: str, key: str) -> StoredRecord | None:
        """Return one row; see `RecordStore.read`."""
        name = checked_table(table)
        with self._database.transaction() as connection:
            if not _columns(connection, name):
                return None
            row = connection.execute(
                _READ.format(columns=_as_text(), table=_table(name)), [tenant, key]
            ).fetchone()
        return stored(row) if row else None

    def page(
        self,
        table: str,
        tenant: str,
        *,
        where: Mapping[str, Scalar] | None = None,
        after: str = "",
        limit: int = 100,
    ) -> list[StoredRecord]:
        """Return rows of a tenant; see `RecordStore.page`."""
        name = checked_table(table)
        wanted = dict(where or {})
        check_fields(wanted)
        statement = _PAGE.format(
            columns=_as_text(),
            table=_table(name),
            conditions=sql.SQL("").join(_FITS for _ in wanted),
        )
        asked = [part for field, value in wanted.items() for part in (field, canonical_json(value))]
        with self._database.transaction() as connection:
            if not _columns(connection, name):
                return []
            rows = connection.execute(statement, [tenant, after, *asked, limit]).fetchall()
        return [stored(row) for row in rows]

    def count(self, table: str, tenant: str) -> int:
        """Count the rows of a tenant."""
        name = checked_table(table)
        with self._database.transaction() as connection:
            if not _columns(connection, name):
                return 0
            row: Any = connection.execute(_COUNT.format(table=_table(name)), [tenant]).fetchone()
        return int(row[0])

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def _make_table(self, connection: Connection, table: str) -> None:
        if table in self._known:
            return
        if not _columns(connection, table):
            self._database.lock_schema(connection)
            connection.execute(_MAKE.format(table=_table(table)))


def _table(name: str) -> sql.Identifier:
    return sql.Identifier(_SCHEMA, name)


def _as_text() -> sql.Composed:
    """JSON comes back as the text that was written, not parsed."""
    return sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(name)) for name in WRITTEN)


def _columns(connection: Connection, table: str) -> set[str]:
    """Return the table's columns; none where there is no such table."""
    rows = connection.execute(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = %s AND table_name = %s",
        [_SCHEMA, table],
    )
    found = {str(row[0]) for row in rows}
    if found and found != ALL:
        raise foreign_table(table)
    return found


def _write(
    connection: Connection, table: str, rows: Sequence[StoredRecord]
) -> dict[tuple[str, str], Outcome]:
    """Return what became of the rows that were written, by tenant and key."""
    statement = _UPSERT.format(
        table=_table(table), columns=_COLUMNS, casts=_CASTS, arrays=_ARRAYS, changes=_CHANGES
    )
    columns = [list(column) for column in zip(*map(values, rows), strict=True)]
    made: list[Any] = connection.execute(statement, columns).fetchall() if rows else []
    return {(tenant, key): "inserted" if new else "updated" for tenant, key, new in made}
