"""Who shall not be reached, in SQL: set, forget, list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, select, text

from envelope.ports.ledger import Suppression
from worker.journal.apply import Statement
from worker.journal.clock import db_now
from worker.journal.ledger_tables import suppressions
from worker.journal.matching import any_of
from worker.journal.suppressing import ANY_CHANNEL

_NOW = select(db_now())
_SET = text(
    'INSERT INTO muster_suppressions (tenant, channel, recipient, reason, "by", at) '
    "VALUES (:tenant, :channel, :recipient, :reason, :by, :at) "
    "ON CONFLICT (tenant, recipient, channel) "
    'DO UPDATE SET reason = excluded.reason, "by" = excluded."by", at = excluded.at'
)
_FORGET = (
    delete(suppressions)
    .where(suppressions.c.tenant == bindparam("tenant"))
    .where(suppressions.c.recipient == bindparam("recipient"))
    .where(suppressions.c.channel == bindparam("channel"))
)


@dataclass(slots=True)
class Suppress(Statement):
    """Keep a suppression in place of the one before."""

    suppression: Suppression

    def execute(self, connection: Connection) -> None:
        """Write the recipient's row."""
        one = self.suppression
        values = {
            "tenant": one.tenant,
            "channel": one.channel,
            "recipient": one.recipient,
            "reason": one.reason,
            "by": one.by,
            "at": connection.scalar(_NOW),
        }
        connection.execute(_SET, values)


@dataclass(slots=True)
class Unsuppress(Statement):
    """Forget a suppression."""

    tenant: str
    channel: str
    recipient: str

    def execute(self, connection: Connection) -> bool:
        """Return whether there was one."""
        values = {"tenant": self.tenant, "channel": self.channel, "recipient": self.recipient}
        return connection.execute(_FORGET, values).rowcount > 0


def read_suppressions(
    connection: Connection,
    tenant: str,
    channel: str | None,
    recipients: Sequence[str] | None,
    limit: int,
) -> Sequence[Suppression]:
    """Return the suppressions of a tenant, by recipient and channel."""
    found = select(suppressions).where(suppressions.c.tenant == tenant)
    if channel is not None:
        found = found.where(suppressions.c.channel.in_([channel, ANY_CHANNEL]))
    if recipients is not None:
        found = found.where(any_of(suppressions.c.recipient, "recipients"))
    found = found.order_by(suppressions.c.recipient, suppressions.c.channel).limit(limit)
    values = {} if recipients is None else {"recipients": list(recipients)}
    return [Suppression(**row) for row in connection.execute(found, values).mappings()]
