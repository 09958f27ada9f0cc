"""Runs that wait: for a time, a signal, a child, a singleton key; replays, budgets and limits.

Tables:
    muster_runs         + singleton, parent, root, budget, spent, waits, fingerprint, replays, flags
    muster_steps        + an index of the queued steps that are being executed
    muster_signals      messages to a run, numbered 1..n
    muster_waits        which run is to be told of the end of which
    muster_singletons   one row per singleton key: the run that took it last
    muster_limits       what was set for an agent at run time
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

BY_AGE = ("created_at", "run_id")
RUNS_INDEXES = {
    "timed": (("wake_at", "run_id"), "wake_at IS NOT NULL"),
    "awaited": (("run_id",), "awaited AND finished_at IS NOT NULL"),
    "unasked": (("run_id",), "unasked"),
    "in_line": (
        ("singleton", "priority", *BY_AGE),
        "state = 'waiting' AND started_at IS NULL AND singleton IS NOT NULL",
    ),
    "failures": (
        ("fingerprint", "flow", "state", "finished_at", "run_id"),
        "state IN ('dead', 'failed') AND replayed_as IS NULL",
    ),
    "by_parent_id": (("parent_id", *BY_AGE), "parent_id IS NOT NULL"),
    "by_singleton": (("singleton", *BY_AGE), "singleton IS NOT NULL"),
    "by_fingerprint": (("fingerprint", *BY_AGE), "fingerprint IS NOT NULL"),
    "by_root_id": (("root_id",), "root_id IS NOT NULL"),
}


def upgrade() -> None:
    _runs()
    _steps()
    _signals()
    _waits()
    _singletons()
    _limits()


def downgrade() -> None:
    for name in ("limits", "singletons", "waits", "signals"):
        op.drop_table(f"muster_{name}")
    op.drop_index("muster_steps_executing", "muster_steps")
    for name in RUNS_INDEXES:
        op.drop_index(f"muster_runs_{name}", "muster_runs")
    for column in _runs_columns():
        op.drop_column("muster_runs", column.name)


def _runs() -> None:
    for column in _runs_columns():
        op.add_column("muster_runs", column)
    for name, (columns, condition) in RUNS_INDEXES.items():
        op.create_index(f"muster_runs_{name}", "muster_runs", list(columns), **_where(condition))


def _runs_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("singleton", NAME),
        sa.Column("parent_id", NAME),
        sa.Column("root_id", NAME),
        sa.Column("budget_tokens", sa.BigInteger),
        sa.Column("budget_usd", sa.Double),
        sa.Column("spent_tokens", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("spent_usd", sa.Double, nullable=False, server_default="0"),
        sa.Column("waits", sa.Text),
        sa.Column("wake_at", sa.Double),
        sa.Column("fingerprint", NAME),
        sa.Column("replay_of", NAME),
        sa.Column("replayed_as", NAME),
        sa.Column("signals", sa.Integer, nullable=False, server_default="0"),
        sa.Column("children", sa.Integer, nullable=False, server_default="0"),
        sa.Column("awaited", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("unasked", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("cancel_epoch", sa.Integer),
    ]


def _steps() -> None:
    op.create_index(
        "muster_steps_executing",
        "muster_steps",
        ["executor"],
        **_where("state = 'running' AND NOT inline"),
    )


def _run_id(name: str = "run_id") -> sa.Column[str]:
    runs = sa.ForeignKey("muster_runs.run_id", ondelete="CASCADE")
    return sa.Column(name, NAME, runs, primary_key=True)


def _signals() -> None:
    op.create_table(
        "muster_signals",
        _run_id(),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("name", NAME, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )


def _waits() -> None:
    op.create_table(
        "muster_waits",
        _run_id("awaited_id"),
        sa.Column("run_id", NAME, primary_key=True),
        sqlite_with_rowid=False,
    )


def _singletons() -> None:
    op.create_table(
        "muster_singletons",
        sa.Column("key", NAME, primary_key=True),
        sa.Column("run_id", NAME),
        sqlite_with_rowid=False,
    )


def _limits() -> None:
    op.create_table(
        "muster_limits",
        sa.Column("agent", NAME, primary_key=True),
        sa.Column("concurrency", sa.Integer),
        sa.Column("rate", sa.Text),
    )


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
