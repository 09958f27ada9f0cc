"""The tables of the journal. Times are seconds since 1970 by the database's clock, JSON is text.

The migrations make them; a test compares the two.
"""

from __future__ import annotations

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
    # Room in each page, so that a counter's update stays beside its row and touches no index.
    postgresql_with={"fillfactor": "70"},
)

Index(
    "muster_runs_key",
    runs.c.idempotency_key,
    runs.c.tenant,
    runs.c.flow,
    unique=True,
    sqlite_where=runs.c.idempotency_key.is_not(None),
    postgresql_where=runs.c.idempotency_key.is_not(None),
)
Index("muster_runs_newest", runs.c.created_at, runs.c.run_id)
Index("muster_runs_by_state", runs.c.state, runs.c.created_at, runs.c.run_id)
Index("muster_runs_by_flow", runs.c.flow, runs.c.state)
Index(
    "muster_runs_queued",
    runs.c.sent_at,
    runs.c.created_at,
    sqlite_where=text("state = 'queued'"),
    postgresql_where=text("state = 'queued'"),
)
Index(
    "muster_runs_running",
    runs.c.owner,
    sqlite_where=text("state = 'running'"),
    postgresql_where=text("state = 'running'"),
)

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

Index(
    "muster_events_origin",
    events.c.run_id,
    events.c.origin,
    unique=True,
    sqlite_where=events.c.origin.is_not(None),
    postgresql_where=events.c.origin.is_not(None),
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
