"""The ledger: effects, approvals, suppressions; the first run of a chain of repetitions.

Tables:
    muster_runs                 + origin_id
    muster_effects              acts on the outside world, by tenant and key
    muster_effect_recipients    whom each reached, and when
    muster_approvals            what persons were asked to consent to, and what they said
    muster_suppressions         who shall not be reached
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

ORIGINS = """
WITH RECURSIVE origins (run_id, origin_id) AS (
    SELECT run_id, run_id FROM muster_runs WHERE replay_of IS NULL AND replayed_as IS NOT NULL
    UNION ALL
    SELECT runs.run_id, origins.origin_id
    FROM origins JOIN muster_runs AS runs ON runs.replay_of = origins.run_id
)
UPDATE muster_runs
SET origin_id = (SELECT origins.origin_id FROM origins WHERE origins.run_id = muster_runs.run_id)
WHERE replay_of IS NOT NULL
"""


def upgrade() -> None:
    op.add_column("muster_runs", sa.Column("origin_id", NAME))
    op.execute(ORIGINS)
    _effects()
    _effect_recipients()
    _approvals()
    _suppressions()


def downgrade() -> None:
    for name in ("suppressions", "approvals", "effect_recipients", "effects"):
        op.drop_table(f"muster_{name}")
    op.drop_column("muster_runs", "origin_id")


def _effects() -> None:
    op.create_table(
        "muster_effects",
        sa.Column("tenant", NAME, primary_key=True),
        sa.Column("key", NAME, primary_key=True),
        sa.Column("run_id", NAME, nullable=False),
        sa.Column("step", NAME, nullable=False),
        sa.Column("channel", NAME, nullable=False),
        sa.Column("recipients", sa.Text, nullable=False),
        sa.Column("content_sha256", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("deduplicates", sa.Boolean, nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("epoch", sa.Integer),
        sa.Column("executor", sa.Text),
        sa.Column("nonce", sa.Text),
        sa.Column("unresolved", sa.Boolean, nullable=False),
        sa.Column("intended_at", sa.Double, nullable=False),
        sa.Column("concluded_at", sa.Double),
        sa.Column("approval_id", NAME),
        sa.Column("receipt", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("settled_by", sa.Text),
    )
    op.create_index("muster_effects_newest", "muster_effects", ["intended_at", "tenant", "key"])
    op.create_index("muster_effects_by_tenant", "muster_effects", ["tenant", "intended_at", "key"])
    op.create_index("muster_effects_by_run", "muster_effects", ["run_id"])
    op.create_index(
        "muster_effects_not_sent",
        "muster_effects",
        ["state", "intended_at", "tenant", "key"],
        **_where("state <> 'sent'"),
    )


def _effect_recipients() -> None:
    op.create_table(
        "muster_effect_recipients",
        sa.Column("tenant", NAME, primary_key=True),
        sa.Column("key", NAME, primary_key=True),
        sa.Column("recipient", NAME, primary_key=True),
        sa.Column("channel", NAME, nullable=False),
        sa.Column("at", sa.Double),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "muster_effect_recipients_reached",
        "muster_effect_recipients",
        ["recipient", "tenant", "channel", "at"],
    )


def _approvals() -> None:
    op.create_table(
        "muster_approvals",
        sa.Column("approval_id", NAME, primary_key=True),
        sa.Column("run_id", NAME, nullable=False),
        sa.Column("tenant", NAME, nullable=False),
        sa.Column("requester", sa.Text),
        sa.Column("channel", NAME, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("content_sha256", NAME, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("asked_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double, nullable=False),
        sa.Column("decided_by", sa.Text),
        sa.Column("decided_at", sa.Double),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("consumed_by", sa.Text),
        sa.Column("consumed_at", sa.Double),
    )
    op.create_index("muster_approvals_newest", "muster_approvals", ["asked_at", "approval_id"])
    op.create_index("muster_approvals_by_run", "muster_approvals", ["run_id"])
    op.create_index(
        "muster_approvals_by_state", "muster_approvals", ["state", "asked_at", "approval_id"]
    )
    op.create_index(
        "muster_approvals_approved",
        "muster_approvals",
        ["content_sha256", "tenant"],
        **_where("state = 'approved'"),
    )


def _suppressions() -> None:
    op.create_table(
        "muster_suppressions",
        sa.Column("tenant", NAME, primary_key=True),
        sa.Column("recipient", NAME, primary_key=True),
        sa.Column("channel", NAME, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sqlite_with_rowid=False,
    )


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
