"""What the db_write agent is asked for. The flow names table and keys, never a model."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from envelope.model import AsTuple, Contract
from envelope.record import Record

_IDENTIFIER: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_RESERVED: Final = ("sqlite_", "pg_")


def table_name(text: str) -> str:
    """Return `text` if it may name a table.

    Raises:
        ValueError: It is not of lower-case letters, digits and `_`, or a database keeps it for
            itself.
    """
    if _IDENTIFIER.fullmatch(text) is None or text.startswith(_RESERVED):
        raise ValueError(
            "a table is named by up to 63 lower-case letters, digits and '_', not starting with a "
            "digit, 'sqlite_' or 'pg_'"
        )
    return text


TableName = Annotated[str, AfterValidator(table_name)]


class Write(Contract):
    """A record and the key under which the table holds it.

    Attributes:
        key: The same key again replaces the record. Unique per tenant and table.
        record: The record; its provenance is kept beside its data.
    """

    key: Annotated[str, Field(min_length=1, max_length=500)]
    record: Record


class DbWriteRequest(Contract):
    """Records to keep.

    Attributes:
        table: The table; it is made on first use.
        writes: What to write, in one transaction, 1 to 1,000.
    """

    table: TableName
    writes: Annotated[tuple[Write, ...], AsTuple, Field(min_length=1, max_length=1_000)]

    @model_validator(mode="after")
    def _keys_differ(self) -> Self:
        keys = [write.key for write in self.writes]
        if len(set(keys)) < len(keys):
            raise ValueError("two writes have the same key; the second would replace the first")
        return self
