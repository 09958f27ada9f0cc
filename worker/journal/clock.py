"""The database's clock, the only clock that decides anything in the journal."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class db_now(GenericFunction[float]):  # noqa: N801 - reads as the SQL function it is
    """Seconds since 1970, to the millisecond at least, at the moment of evaluation."""

    type = Double()
    inherit_cache = True
    name = "muster_now"


@compiles(db_now, "postgresql")
def _postgres_now(_element: db_now, _compiler: Any, **_: Any) -> str:
    # now() would stand still at the start of the transaction, before the rows were locked.
    return "extract(epoch from clock_timestamp())::float8"


@compiles(db_now, "sqlite")
def _sqlite_now(_element: db_now, _compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"
