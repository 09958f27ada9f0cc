"""What a database URL means to the journal, and how it is shown without its password."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from envelope.errors import InvalidInput

MEMORY = "memory"
_POSTGRES = frozenset({"postgres", "postgresql", "postgresql+psycopg"})
_SQLITE = frozenset({"sqlite", "sqlite+pysqlite"})


def database_url(text: str) -> URL:
    """Return the URL with the driver that the journal uses: psycopg 3 or pysqlite.

    Raises:
        InvalidInput: It is no URL, names another database, or a SQLite that lives in memory.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise InvalidInput(
            "The journal's database URL cannot be read. Write postgresql://user:password@host/name "
            "(with special characters percent-encoded) or sqlite:///path/to/file.db."
        ) from None
    if url.drivername in _POSTGRES:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in _SQLITE:
        return _sqlite_file(url)
    raise InvalidInput(
        f"The journal cannot live in {url.drivername!r}. Use postgresql://… or sqlite:///….",
    )


def shown(url: URL) -> str:
    """Return the URL with user, host and database, without password and options."""
    return url.set(query={}).render_as_string(hide_password=True)


def _sqlite_file(url: URL) -> URL:
    if not url.database or ":memory:" in url.database or url.query.get("mode") == "memory":
        raise InvalidInput(
            "A SQLite database in memory is not shared and not durable. Use "
            "sqlite:///path/to/file.db, or memory:// for a journal that lives in this process only."
        )
    return url.set(drivername="sqlite+pysqlite")
