"""The port: what can be done with declared tables, whichever database they live in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import JsonValue

from agents.db_write.port import Outcome
from agents.db_write.tables.cells import Cells
from agents.db_write.tables.declaration import Table

Row = dict[str, JsonValue]


class TableStore(Protocol):
    """A database with tables of the user's own. Safe to use from several threads and processes.

    Every identifier comes from a declaration and is quoted; every value is a parameter. Tables are
    neither made nor altered.
    """

    def upsert(self, table: Table, rows: Sequence[Cells]) -> list[Outcome]:
        """Write `rows` in one transaction and say what became of each, in their order.

        A row that has the values already is left alone, its provenance too.

        Args:
            table: Its declaration.
            rows: Cells by column, checked by `cells_of`; all of the conflict columns are there.

        Raises:
            ConstraintViolated: A row breaks a rule of the table.
            ValueRefused: The column's real type does not take a value.
            StoreBroken: There is no such table, column or unique index over the key, or no right.
            StoreUnavailable: The database is away or busy.
        """

    def select(
        self,
        table: Table,
        *,
        where: Mapping[str, JsonValue],
        after: Sequence[JsonValue] | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Return the declared columns of the rows that fit, in the order of their conflict columns.

        Args:
            table: Its declaration.
            where: What columns must be equal to; None is NULL.
            after: Conflict columns of the last row of the page before.
            limit: Most rows.

        Errors as `upsert`.
        """

    def close(self) -> None:
        """Close what was opened."""
