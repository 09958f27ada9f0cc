"""Tables that a developer allows to be written and read, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from envelope.registry import Registry

ColumnType = Literal["text", "integer", "number", "boolean", "json", "timestamp", "date", "uuid"]
_LONGEST_NAME: Final = 63


@dataclass(frozen=True, slots=True)
class Column:
    """A column that may be written.

    Attributes:
        type: What its values are in JSON: `timestamp` is ISO 8601 with an offset, `json` anything.
            The column itself may have any type of the database that takes such values.
        field: The field of a record's data that it is filled from; None: the field of its own name.
        required: Whether each record must have a value for it. Columns of the key always need one.
    """

    type: ColumnType = "text"
    field: str | None = None
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that exists, and what may be done with it.

    Attributes:
        name: By which requests name it.
        columns: The columns that may be touched; no other ever is.
        key: Its conflict columns: there is a primary key or unique index over exactly these (and
            the tenant's column, where there is one).
        schema: Its schema in Postgres; SQLite has none.
        table: Its name in the database.
        tenant_column: A text column that keeps tenants apart; None: all tenants share the rows.
        provenance_column: A JSON column that says where the row's values come from; None: nothing
            in the table does.
    """

    name: str
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    schema: str
    table: str
    tenant_column: str | None = None
    provenance_column: str | None = None

    @property
    def version(self) -> int:
        """Tables have one."""
        return 1

    @property
    def where(self) -> str:
        """Tells one declaration from another."""
        return f"{self.schema}.{self.table}({', '.join(self.columns)}; key {', '.join(self.key)})"

    @property
    def conflict(self) -> tuple[str, ...]:
        """The columns that name a row, the tenant's first."""
        return (self.tenant_column, *self.key) if self.tenant_column else self.key

    @property
    def types(self) -> dict[str, ColumnType]:
        """The type of each column that is touched, ours included."""
        ours: dict[str, ColumnType] = {}
        if self.tenant_column:
            ours[self.tenant_column] = "text"
        if self.provenance_column:
            ours[self.provenance_column] = "json"
        return {**ours, **{name: column.type for name, column in self.columns.items()}}


TABLES: Registry[Table] = Registry("table")


def declare_table(
    name: str,
    columns: Mapping[str, Column | ColumnType],
    *,
    key: Sequence[str],
    schema: str = "public",
    table: str | None = None,
    tenant_column: str | None = None,
    provenance_column: str | None = None,
) -> Table:
    """Allow a table of your own to be written by `table_write` and read by the coordinator.

    Args:
        name: By which requests name it.
        columns: Each column with its type, or a `Column`.
        key: The columns that name a row; the same key again updates it.
        schema: Its schema in Postgres.
        table: Its name in the database, by default `name`.
        tenant_column: A text column that keeps tenants apart.
        provenance_column: A JSON column for the provenance of each row.

    Raises:
        ValueError: A name cannot be an identifier, or the key has other columns.
        AlreadyRegistered: Another table has that name.

    Example:
        >>> declare_table("leads", {"symbol": "text", "employees": "integer"}, key=["symbol"])
    """
    full = {
        column: given if isinstance(given, Column) else Column(given)
        for column, given in columns.items()
    }
    made = Table(
        name=name,
        columns=full,
        key=tuple(key),
        schema=schema,
        table=table or name,
        tenant_column=tenant_column,
        provenance_column=provenance_column,
    )
    _check(made)
    return TABLES.add(made)


def _check(table: Table) -> None:
    for name in (table.name, table.schema, table.table, *table.types):
        if not _is_identifier(name):
            raise ValueError(f"table {table.name!r}: {name!r} cannot name a column or table")
    if not table.key or len(set(table.key)) < len(table.key):
        raise ValueError(f"table {table.name!r}: key names at least one column, each once")
    ours = {table.tenant_column, table.provenance_column} - {None}
    for column in table.key:
        if column not in table.columns:
            raise ValueError(f"table {table.name!r}: the key's column {column!r} is not declared")
    if ours & set(table.columns) or len(ours) < len(table.types) - len(table.columns):
        raise ValueError(f"table {table.name!r}: tenant and provenance need columns of their own")


def _is_identifier(name: str) -> bool:
    """Identifiers are quoted as well; this keeps out what a database would cut or refuse."""
    return (
        name.isprintable() and not set('"%') & set(name) and 0 < len(name.encode()) <= _LONGEST_NAME
    )
