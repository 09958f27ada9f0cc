"""Opens the database of declared tables that a URL names."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from agents.db_write.tables.port import TableStore
from agents.db_write.tables.postgres_tables import PostgresTables
from agents.db_write.tables.sqlite_tables import SqliteTables
from agents.sql.errors import StoreBroken

_SQLITE: Final = "sqlite:///"


def table_store(url: str | None, home: Path) -> TableStore:
    """Return the store at `url`; without one, that in `home/tables.sqlite3`.

    Args:
        url: `postgresql://…`, Supabase's included, or `sqlite:///file`.
        home: The folder of the embedded data.

    Raises:
        StoreBroken: The URL names neither.
    """
    if url is None:
        return SqliteTables(home / "tables.sqlite3")
    if url.startswith("postgres"):
        return PostgresTables(url)
    if url.startswith(_SQLITE):
        return SqliteTables(url.removeprefix(_SQLITE))
    raise StoreBroken("Tables of your own live at postgresql://… or sqlite:///file.")
