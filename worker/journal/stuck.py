"""Ends database sessions of stopped processes. View: pg_stat_activity.

A process stopped (SIGSTOP, a frozen container) in the midst of a commit keeps its row locks,
and its kernel keeps the connection alive. Statements sent in a pipeline leave the session "active",
so that no time-out of the server's ends it: its successors would wait for it for ever.

A session carries its process's name, so that it is ended as soon as that one's lease has lapsed.
"""

from __future__ import annotations

from hashlib import md5

from sqlalchemy import Connection, text

SESSION = "muster-journal"
"""What the server knows a session by that is no worker's."""

STUCK_SECONDS = 8
"""No transaction of the journal lasts that long: a lock is waited for five seconds at most."""

_END = text(
    """
    SELECT pg_terminate_backend(pid)
    FROM pg_stat_activity
    WHERE application_name LIKE 'muster-journal%'
      AND datname = current_database()
      AND usename = current_user
      AND pid <> pg_backend_pid()
      AND (
          xact_start < clock_timestamp() - make_interval(secs => :seconds)
          OR xact_start IS NOT NULL AND application_name IN (
              SELECT 'muster-journal ' || md5(worker_id) FROM muster_workers
              WHERE expires_at < extract(epoch FROM clock_timestamp())
          )
      )
    """
)


def session_name(worker_id: str | None) -> str:
    """Return the name of a process's sessions; it fits the server's 63 characters."""
    if worker_id is None:
        return SESSION
    return f"{SESSION} {md5(worker_id.encode(), usedforsecurity=False).hexdigest()}"


def end_stuck_sessions(connection: Connection) -> int:
    """End transactions of processes whose lease has lapsed, and far too old ones; count them.

    Should a living process be hit, its writer tries again.
    """
    if connection.dialect.name != "postgresql":
        return 0
    return len(connection.execute(_END, {"seconds": STUCK_SECONDS}).all())
