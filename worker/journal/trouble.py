"""Tells what a database error means: database away, another process faster, or bad data."""

from __future__ import annotations

from sqlalchemy.engine import URL
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from envelope.errors import InvalidInput, JournalUnavailable
from worker.journal.urls import shown

DATABASE_ERRORS = (SQLAlchemyError, OverflowError, UnicodeError)
"""What a statement may raise: the drivers refuse some values before SQLAlchemy sees them."""

_AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeout)


class Overtaken(Exception):
    """What a batch looked at ahead was changed before it was locked; it is to be decided anew."""


def is_away(error: Exception) -> bool:
    """Whether the database cannot be reached, is locked, full or read-only: try again later."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, _AWAY)


def is_race(error: Exception) -> bool:
    """Whether a row that was not there when the rules decided is there now."""
    return isinstance(error, IntegrityError | Overtaken)


def unavailable(url: URL, error: Exception) -> JournalUnavailable:
    """Return the error for a database that is away; it names the place, never the password."""
    return JournalUnavailable(
        f"The journal's database {shown(url)} does not answer: {_reason(url, error)}. "
        "Nothing was accepted; check MUSTER_DATABASE_URL and that the database runs."
    )


def refused(url: URL, error: Exception) -> JournalUnavailable | InvalidInput:
    """Return the error for a statement that the database understood and would not carry out."""
    if isinstance(error, ProgrammingError):
        return JournalUnavailable(
            f"The journal's tables in {shown(url)} cannot be used: {_reason(url, error)}. "
            "Check the user's rights and that no other version of Muster changed the tables."
        )
    return InvalidInput(f"The database cannot store this: {_reason(url, error)}.")


def _reason(url: URL, error: Exception) -> str:
    """Return the driver's own words, one line, without parameters and without the password."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    # The first line alone: the detail below it quotes the row.
    told = getattr(getattr(cause, "diag", None), "message_primary", None) or str(cause)
    words = " ".join(told.split()).rstrip(".")[:300] or type(cause).__name__
    password = str(url.password) if url.password else ""
    return words.replace(password, "***") if password else words
