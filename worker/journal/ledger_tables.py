"""The tables of the ledger, in the journal's database.

None refers to `muster_runs`: what was sent must be remembered longer than the run that sent it.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Integer, Table, Text

from worker.journal.tables import Name, metadata, partial_index

effects = Table(
    "muster_effects",
    metadata,
    Column("tenant", Name, primary_key=True),
    Column("key", Name, primary_key=True),
    Column("run_id", Name, nullable=False),
    Column("step", Name, nullable=False),
    Column("channel", Name, nullable=False),
    Column("recipients", Text, nullable=False),
    Column("content_sha256", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("deduplicates", Boolean, nullable=False),
    Column("state", Name, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("epoch", Integer),
    Column("executor", Text),
    Column("nonce", Text),
    Column("unresolved", Boolean, nullable=False),
    Column("intended_at", Double, nullable=False),
    Column("concluded_at", Double),
    Column("approval_id", Name),
    Column("receipt", Text, nullable=False),
    Column("reason", Text),
    Column("settled_by", Text),
)
Index("muster_effects_newest", effects.c.intended_at, effects.c.tenant, effects.c.key)
Index("muster_effects_by_tenant", effects.c.tenant, effects.c.intended_at, effects.c.key)
Index("muster_effects_by_run", effects.c.run_id)
NOT_SENT = "state <> 'sent'"
partial_index(
    "muster_effects_not_sent",
    NOT_SENT,
    effects.c.state,
    effects.c.intended_at,
    effects.c.tenant,
    effects.c.key,
)

# `at` is when the recipient was reached, as far as anybody knows; NULL where the effect failed.
effect_recipients = Table(
    "muster_effect_recipients",
    metadata,
    Column("tenant", Name, primary_key=True),
    Column("key", Name, primary_key=True),
    Column("recipient", Name, primary_key=True),
    Column("channel", Name, nullable=False),
    Column("at", Double),
    sqlite_with_rowid=False,
)
Index(
    "muster_effect_recipients_reached",
    effect_recipients.c.recipient,
    effect_recipients.c.tenant,
    effect_recipients.c.channel,
    effect_recipients.c.at,
)

approvals = Table(
    "muster_approvals",
    metadata,
    Column("approval_id", Name, primary_key=True),
    Column("run_id", Name, nullable=False),
    Column("tenant", Name, nullable=False),
    Column("requester", Text),
    Column("channel", Name, nullable=False),
    Column("content", Text, nullable=False),
    Column("content_sha256", Name, nullable=False),
    Column("title", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("state", Name, nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", Double),
    Column("reason", Text, nullable=False),
    Column("consumed_by", Text),
    Column("consumed_at", Double),
)
Index("muster_approvals_newest", approvals.c.asked_at, approvals.c.approval_id)
Index("muster_approvals_by_run", approvals.c.run_id)
Index("muster_approvals_by_state", approvals.c.state, approvals.c.asked_at, approvals.c.approval_id)
partial_index(
    "muster_approvals_approved",
    "state = 'approved'",
    approvals.c.content_sha256,
    approvals.c.tenant,
)

suppressions = Table(
    "muster_suppressions",
    metadata,
    Column("tenant", Name, primary_key=True),
    Column("recipient", Name, primary_key=True),
    Column("channel", Name, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("at", Double, nullable=False),
    sqlite_with_rowid=False,
)
