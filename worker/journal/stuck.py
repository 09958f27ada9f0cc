"""Ends database sessions of stopped processes. View: pg_stat_activity.

A process stopped (SIGSTOP, a frozen container) in the midst of a commit keeps its row locks,
and its kernel keeps the connection alive. Statements sent in a pipeline leave the session "active",
so that no time-out of the server's ends it: its successors would wait for it for ever.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

STUCK_SECONDS = 8
"""No transaction of the journal lasts that long: a lock is waited for five seconds at most."""

_END = text(
    """
    SELECT pg_terminate_backend(pid)
    FROM pg_stat_activity
    WHERE application_name = 'muster-journal'
      AND datname = current_database()
      AND usename = current_user
      AND pid <> pg_backend_pid()
      AND xact_start < clock_timestamp() - make_interval(secs => :seconds)
    """
)


def end_stuck_sessions(connection: Connection) -> int:
    """End the journal's own sessions whose transaction is far too old; return how many.

    Called where leases have lapsed. Should a living process be hit, its writer tries again.
    """
    if connection.dialect.name != "postgresql":
        return 0
    return len(connection.execute(_END, {"seconds": STUCK_SECONDS}).all())
