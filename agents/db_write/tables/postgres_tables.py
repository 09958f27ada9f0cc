"""Declared tables in Postgres, Supabase included."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from psycopg import sql
from pydantic import JsonValue

from agents.db_write.port import Outcome
from agents.db_write.tables.cells import Cells, fitting
from agents.db_write.tables.declaration import Table
from agents.db_write.tables.missing import check_columns
from agents.db_write.tables.port import Row
from agents.sql.postgres import Connection, PostgresDatabase

# -1: the type without its length. An explicit cast to varchar(10) cuts a text without a word, an
# assignment refuses it.
_TYPES: Final = """
    SELECT attname, format_type(atttypid, -1)
    FROM pg_attribute
    WHERE attrelid = to_regclass(format('%%I.%%I', %s::text, %s::text))
      AND attnum > 0 AND NOT attisdropped"""
_UPSERT: Final = sql.SQL(
    """WITH given AS MATERIALIZED (
        SELECT {casts}, "muster.place"
        FROM unnest({arrays}) WITH ORDINALITY AS raw({names}, "muster.place")
    ), written AS (
        INSERT INTO {table} AS held ({names}) SELECT {names} FROM given ORDER BY {conflict}
        ON CONFLICT ({conflict}) DO {update}
        RETURNING {returned}, held.xmax = 0 AS "muster.made"
    )
    SELECT "muster.made" FROM given LEFT JOIN written USING ({conflict})
    ORDER BY given."muster.place" """
)
_SELECT: Final = sql.SQL(
    "SELECT json_build_object({pairs})::text FROM {table} AS held{found}"
    " ORDER BY {conflict} LIMIT {limit}"
)

Types = Mapping[str, str]
"""The real type of each column, as the catalogue spells it."""


class PostgresTables:
    """A `TableStore` in Postgres (Supabase included).

    Args:
        url: `postgresql://user:password@host/name?sslmode=require`; see `libpq_url`.
    """

    def __init__(self, url: str) -> None:
        self._database = PostgresDatabase(url, "SELECT true", [])

    def upsert(self, table: Table, rows: Sequence[Cells]) -> list[Outcome]:
        """Write `rows` in one transaction; see `TableStore.upsert`."""
        outcomes: dict[int, Outcome] = {}
        with self._database.transaction() as connection:
            types = _types(connection, table)
            for columns, places in _alike(rows):
                written = _write(connection, table, types, columns, [rows[n] for n in places])
                outcomes |= zip(places, written, strict=True)
        return [outcomes[place] for place in range(len(rows))]

    def select(
        self,
        table: Table,
        *,
        where: Mapping[str, JsonValue],
        after: Sequence[JsonValue] | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Return a page of rows; see `TableStore.select`."""
        with self._database.transaction() as connection:
            types = _types(connection, table)
            conditions = [
                _equal(table, types, name, fitting(table, name, value, "A condition"))
                for name, value in where.items()
            ]
            if after is not None:
                conditions.append(_beyond(table, types, after))
            statement = _SELECT.format(
                pairs=_commas(
                    sql.SQL("{}, held.{}").format(sql.Literal(name), sql.Identifier(name))
                    for name in table.types
                ),
                table=sql.Identifier(table.schema, table.table),
                found=_where(conditions),
                conflict=_listed(table.conflict),
                limit=sql.Literal(limit),
            )
            held: list[Any] = connection.execute(statement).fetchall()
        return [json.loads(row[0]) for row in held]

    def close(self) -> None:
        """Close the connections."""
        self._database.close()


def _types(connection: Connection, table: Table) -> Types:
    rows: list[Any] = connection.execute(_TYPES, [table.schema, table.table]).fetchall()
    found = dict(rows)
    check_columns(table, found)
    return found


def _alike(rows: Sequence[Cells]) -> list[tuple[tuple[str, ...], list[int]]]:
    """Rows with the same columns go into one statement."""
    groups: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        groups[tuple(row)].append(place)
    return list(groups.items())


def _write(
    connection: Connection,
    table: Table,
    types: Types,
    columns: tuple[str, ...],
    rows: Sequence[Cells],
) -> list[Outcome]:
    statement = _UPSERT.format(
        casts=_commas(_cast(sql.Identifier("raw", name), types[name], name) for name in columns),
        arrays=_commas(sql.SQL("{}::text[]").format(sql.Placeholder()) for _ in columns),
        names=_listed(columns),
        table=sql.Identifier(table.schema, table.table),
        conflict=_listed(table.conflict),
        update=_update(table, types, columns),
        returned=_commas(sql.Identifier("held", name) for name in table.conflict),
    )
    given = [[_text(row[name]) for row in rows] for name in columns]
    made: list[Any] = connection.execute(statement, given).fetchall()
    return [_outcome(row[0]) for row in made]


def _outcome(made: bool | None) -> Outcome:
    if made is None:
        return "unchanged"
    return "inserted" if made else "updated"


def _update(table: Table, types: Types, columns: Iterable[str]) -> sql.Composable:
    changed = [name for name in columns if name not in table.conflict]
    judged = [name for name in changed if name != table.provenance_column]
    if not judged:
        return sql.SQL("NOTHING")
    sets = [sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in changed]
    differs = [
        # json, unlike jsonb, has no equality.
        sql.SQL("held.{0}{1} IS DISTINCT FROM EXCLUDED.{0}{1}").format(
            sql.Identifier(name), sql.SQL("::jsonb" if types[name] == "json" else "")
        )
        for name in judged
    ]
    return sql.SQL("UPDATE SET {} WHERE {}").format(_commas(sets), sql.SQL(" OR ").join(differs))


def _equal(table: Table, types: Types, name: str, value: JsonValue) -> sql.Composable:
    column = sql.Identifier("held", name)
    if value is None:
        return sql.SQL("{} IS NULL").format(column)
    kind = "jsonb" if table.types[name] == "json" else types[name]
    left = sql.SQL("{}::jsonb").format(column) if kind == "jsonb" else column
    return sql.SQL("{} = {}").format(left, _cast(sql.Literal(_text(value)), kind))


def _beyond(table: Table, types: Types, after: Sequence[JsonValue]) -> sql.Composable:
    last = [
        _cast(sql.Literal(_text(value)), types[name])
        for name, value in zip(table.conflict, after, strict=True)
    ]
    return sql.SQL("({}) > ({})").format(_listed(table.conflict), _commas(last))


def _cast(value: sql.Composable, kind: str, name: str | None = None) -> sql.Composable:
    # The catalogue quotes the name of a type where it needs quotes.
    cast = sql.SQL("CAST({} AS {})").format(value, sql.SQL(kind))
    return sql.SQL("{} AS {}").format(cast, sql.Identifier(name)) if name else cast


def _text(value: JsonValue) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


def _where(conditions: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("")


def _listed(names: Iterable[str]) -> sql.Composable:
    return _commas(map(sql.Identifier, names))


def _commas(parts: Iterable[sql.Composable]) -> sql.Composable:
    return sql.SQL(", ").join(list(parts))
