"""The tables of the journal. Times are seconds since 1970 by the database's clock, JSON is text.

The migrations make them; a test compares the two.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    false,
    text,
)

Name = Text().with_variant(Text(collation="C"), "postgresql")
"""A text that is compared and sorted byte by byte, whatever the database's language."""

Number = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on both; SQLite numbers rows by itself only in a column of this name."""

metadata = MetaData()

runs = Table(
    "muster_runs",
    metadata,
    Column("run_id", Name, primary_key=True),
    Column("flow", Name, nullable=False),
    Column("version", Integer, nullable=False),
    Column("state", Name, nullable=False),
    Column("tenant", Name, nullable=False),
    Column("user_id", Text),
    Column("thread_id", Text),
    Column("idempotency_key", Name),
    Column("source", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("allow_delivery", Boolean, nullable=False),
    Column("trace_id", Text),
    Column("payload_sha256", Text, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("owner", Name),
    Column("losses", Integer, nullable=False),
    Column("sends", Integer, nullable=False),
    Column("events", Integer, nullable=False),
    Column("positions", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("steps_done", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("available_at", Double, nullable=False),
    Column("sent_at", Double),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("cancel_reason", Text),
    Column("envelope", Text),
    Column("failure", Text),
    Column("trace", Text),
    Column("singleton", Name),
    Column("parent_id", Name),
    Column("root_id", Name),
    Column("budget_tokens", BigInteger),
    Column("budget_usd", Double),
    Column("spent_tokens", BigInteger, nullable=False, server_default="0"),
    Column("spent_usd", Double, nullable=False, server_default="0"),
    Column("waits", Text),
    Column("wake_at", Double),
    Column("fingerprint", Name),
    Column("replay_of", Name),
    Column("replayed_as", Name),
    Column("signals", Integer, nullable=False, server_default="0"),
    Column("children", Integer, nullable=False, server_default="0"),
    Column("awaited", Boolean, nullable=False, server_default=false()),
    Column("unasked", Boolean, nullable=False, server_default=false()),
    Column("cancel_epoch", Integer),
    Column("origin_id", Name),
    # Room in each page, so that a counter's update stays beside its row and touches no index.
    postgresql_with={"fillfactor": "70"},
)


def partial_index(name: str, condition: str, *columns: Column[Any], unique: bool = False) -> None:
    """Index those rows alone for which the condition is true."""
    where = text(condition)
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


partial_index(
    "muster_runs_key",
    "idempotency_key IS NOT NULL",
    runs.c.idempotency_key,
    runs.c.tenant,
    runs.c.flow,
    unique=True,
)
Index("muster_runs_newest", runs.c.created_at, runs.c.run_id)
Index("muster_runs_by_state", runs.c.state, runs.c.created_at, runs.c.run_id)
Index("muster_runs_by_flow", runs.c.flow, runs.c.state)
partial_index("muster_runs_queued", "state = 'queued'", runs.c.sent_at, runs.c.created_at)
partial_index("muster_runs_running", "state = 'running'", runs.c.owner)

TOLD_AT_ITS_END = "awaited AND finished_at IS NOT NULL"
IN_LINE = "state = 'waiting' AND started_at IS NULL AND singleton IS NOT NULL"
ENDED_BADLY = "state IN ('dead', 'failed') AND replayed_as IS NULL"
partial_index("muster_runs_timed", "wake_at IS NOT NULL", runs.c.wake_at, runs.c.run_id)
partial_index("muster_runs_awaited", TOLD_AT_ITS_END, runs.c.run_id)
partial_index("muster_runs_unasked", "unasked", runs.c.run_id)
partial_index(
    "muster_runs_in_line",
    IN_LINE,
    runs.c.singleton,
    runs.c.priority,
    runs.c.created_at,
    runs.c.run_id,
)
partial_index(
    "muster_runs_failures",
    ENDED_BADLY,
    runs.c.fingerprint,
    runs.c.flow,
    runs.c.state,
    runs.c.finished_at,
    runs.c.run_id,
)
for _column in (runs.c.parent_id, runs.c.singleton, runs.c.fingerprint):
    partial_index(
        f"muster_runs_by_{_column.name}",
        f"{_column.name} IS NOT NULL",
        _column,
        runs.c.created_at,
        runs.c.run_id,
    )
partial_index("muster_runs_by_root_id", "root_id IS NOT NULL", runs.c.root_id)

# Apart from the run's row, which is written anew with every commit.
payloads = Table(
    "muster_payloads",
    metadata,
    Column("run_id", Name, ForeignKey("muster_runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("payload", Text, nullable=False),
)

steps = Table(
    "muster_steps",
    metadata,
    Column("run_id", Name, ForeignKey("muster_runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("step", Name, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("agent", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("inline", Boolean, nullable=False),
    Column("input_sha256", Text, nullable=False),
    Column("input", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("executor", Text),
    Column("result", Text),
    Column("failure", Text),
    Column("sent_at", Double),
    Column("started_at", Double),
    Column("finished_at", Double),
)

EXECUTING = "state = 'running' AND NOT inline"
partial_index("muster_steps_executing", EXECUTING, steps.c.executor)

attempts = Table(
    "muster_attempts",
    metadata,
    Column("run_id", Name, ForeignKey("muster_runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("step", Name, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("executor", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("failure", Text),
    Column("finished_at", Double, nullable=False),
    sqlite_with_rowid=False,
)

events = Table(
    "muster_events",
    metadata,
    Column("run_id", Name, ForeignKey("muster_runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("type", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("step", Text),
    Column("origin", Name),
    Column("data", Text, nullable=False),
    sqlite_with_rowid=False,
)

partial_index(
    "muster_events_origin", "origin IS NOT NULL", events.c.run_id, events.c.origin, unique=True
)

signals = Table(
    "muster_signals",
    metadata,
    Column("run_id", Name, ForeignKey("muster_runs.run_id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", Name, nullable=False),
    Column("data", Text, nullable=False),
    Column("at", Double, nullable=False),
    sqlite_with_rowid=False,
)

# Who is to be told when a run has ended; the row goes once that was done.
waits = Table(
    "muster_waits",
    metadata,
    Column(
        "awaited_id", Name, ForeignKey("muster_runs.run_id", ondelete="CASCADE"), primary_key=True
    ),
    Column("run_id", Name, primary_key=True),
    sqlite_with_rowid=False,
)

# Without a foreign key: the row is locked before its new holder is written.
singletons = Table(
    "muster_singletons",
    metadata,
    Column("key", Name, primary_key=True),
    Column("run_id", Name),
    sqlite_with_rowid=False,
)

limits = Table(
    "muster_limits",
    metadata,
    Column("agent", Name, primary_key=True),
    Column("concurrency", Integer),
    Column("rate", Text),
)

workers = Table(
    "muster_workers",
    metadata,
    Column("worker_id", Name, primary_key=True),
    Column("hostname", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("details", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
)

writers = Table(
    "muster_writers",
    metadata,
    Column("writer", Name, primary_key=True),
    Column("batch", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
)

quarantine = Table(
    "muster_quarantine",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("queue", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("excerpt", Text, nullable=False),
)
