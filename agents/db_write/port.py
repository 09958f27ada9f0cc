"""The port: what a record store does, whichever database it lives in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from envelope.record import Record

Outcome = Literal["inserted", "updated", "unchanged"]

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRecord:
    """A record as a table holds it.

    Attributes:
        tenant: Whose it is; tenants never see each other's keys.
        key: Its name within tenant and table.
        run_id: The run that wrote it last.
        record: The record.
    """

    tenant: str
    key: str
    run_id: str
    record: Record


class RecordStore(Protocol):
    """Tables of records with their provenance.

    Safe to use from several threads and processes at once. A table is made on first use.
    """

    def upsert(self, table: str, rows: Sequence[StoredRecord]) -> list[Outcome]:
        """Write `rows` in one transaction and say what became of each, in their order.

        A row that is there already with the same record is left alone, so a repeated write
        changes nothing.

        Raises:
            InvalidInput: Two rows have one tenant and key.
            StoreBroken: The table exists and is not one of ours, or its name is not allowed.
            StoreUnavailable: The database is away or busy.
        """

    def read(self, table: str, tenant: str, key: str) -> StoredRecord | None:
        """Return one row, validated; None where there is none. Errors as `upsert`."""

    def page(
        self,
        table: str,
        tenant: str,
        *,
        where: Mapping[str, Scalar] | None = None,
        after: str = "",
        limit: int = 100,
    ) -> list[StoredRecord]:
        """Return rows of a tenant in the order of their keys (by code point), each validated.

        Args:
            table: The table; one that is not there is empty.
            tenant: Whose rows.
            where: Fields of the records' data and what they must be equal to; None fits a field
                that is missing too.
            after: Key of the last row of the page before.
            limit: Most rows.

        Raises:
            InvalidInput: A field's name cannot be asked for.

        Further errors as `upsert`.
        """

    def count(self, table: str, tenant: str) -> int:
        """Count the rows of a tenant. Errors as `upsert`."""

    def close(self) -> None:
        """Close what was opened."""
