"""The journal's first tables.

Tables:
    muster_runs         one row per run: state, owner, epoch, counters, times, outcome
    muster_payloads     the run's input, apart because the run's row is written anew so often
    muster_steps        one row per step: state, executor, input, result
    muster_attempts     one row per execution of a step and how it ended
    muster_events       what happened to a run, numbered 1..n
    muster_workers      one row per worker process: its lease
    muster_quarantine   messages that could not be understood
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _runs()
    _runs_indexes()
    _payloads()
    _steps()
    _attempts()
    _events()
    _workers()
    _quarantine()


def downgrade() -> None:
    for name in ("quarantine", "workers", "events", "attempts", "steps", "payloads", "runs"):
        op.drop_table(f"muster_{name}")


def _run_id() -> sa.Column[str]:
    runs = sa.ForeignKey("muster_runs.run_id", ondelete="CASCADE")
    return sa.Column("run_id", NAME, runs, primary_key=True)


def _runs() -> None:
    op.create_table(
        "muster_runs",
        sa.Column("run_id", NAME, primary_key=True),
        sa.Column("flow", NAME, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("thread_id", sa.Text),
        sa.Column("idempotency_key", NAME),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("allow_delivery", sa.Boolean, nullable=False),
        sa.Column("trace_id", sa.Text),
        sa.Column("payload_sha256", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("owner", NAME),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("sends", sa.Integer, nullable=False),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("positions", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("steps_done", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("available_at", sa.Double, nullable=False),
        sa.Column("sent_at", sa.Double),
        sa.Column("started_at", sa.Double),
        sa.Column("finished_at", sa.Double),
        sa.Column("cancel_reason", sa.Text),
        sa.Column("envelope", sa.Text),
        sa.Column("failure", sa.Text),
        sa.Column("trace", sa.Text),
        postgresql_with={"fillfactor": "70"},
    )


def _runs_indexes() -> None:
    op.create_index(
        "muster_runs_key",
        "muster_runs",
        ["idempotency_key", "tenant", "flow"],
        unique=True,
        **_where("idempotency_key IS NOT NULL"),
    )
    op.create_index("muster_runs_newest", "muster_runs", ["created_at", "run_id"])
    op.create_index("muster_runs_by_state", "muster_runs", ["state", "created_at", "run_id"])
    op.create_index("muster_runs_by_flow", "muster_runs", ["flow", "state"])
    op.create_index(
        "muster_runs_queued",
        "muster_runs",
        ["sent_at", "created_at"],
        **_where("state = 'queued'"),
    )
    op.create_index("muster_runs_running", "muster_runs", ["owner"], **_where("state = 'running'"))


def _payloads() -> None:
    op.create_table("muster_payloads", _run_id(), sa.Column("payload", sa.Text, nullable=False))


def _steps() -> None:
    op.create_table(
        "muster_steps",
        _run_id(),
        sa.Column("step", NAME, primary_key=True),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("inline", sa.Boolean, nullable=False),
        sa.Column("input_sha256", sa.Text, nullable=False),
        sa.Column("input", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("executor", sa.Text),
        sa.Column("result", sa.Text),
        sa.Column("failure", sa.Text),
        sa.Column("sent_at", sa.Double),
        sa.Column("started_at", sa.Double),
        sa.Column("finished_at", sa.Double),
    )


def _attempts() -> None:
    op.create_table(
        "muster_attempts",
        _run_id(),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("step", NAME, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("executor", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("failure", sa.Text),
        sa.Column("finished_at", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )


def _events() -> None:
    op.create_table(
        "muster_events",
        _run_id(),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("step", sa.Text),
        sa.Column("origin", NAME),
        sa.Column("data", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "muster_events_origin",
        "muster_events",
        ["run_id", "origin"],
        unique=True,
        **_where("origin IS NOT NULL"),
    )


def _workers() -> None:
    op.create_table(
        "muster_workers",
        sa.Column("worker_id", NAME, primary_key=True),
        sa.Column("hostname", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
    )


def _quarantine() -> None:
    op.create_table(
        "muster_quarantine",
        sa.Column("number", NUMBER, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("excerpt", sa.Text, nullable=False),
    )


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
