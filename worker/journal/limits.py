"""What was set for agents at run time, in SQL: set, forget, list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, bindparam, delete, select, text

from envelope.ports.journal_rows import AgentLimit
from worker.journal.apply import Statement
from worker.journal.tables import limits

_SET = text(
    "INSERT INTO muster_limits (agent, concurrency, rate) VALUES (:agent, :concurrency, :rate) "
    "ON CONFLICT (agent) DO UPDATE SET concurrency = excluded.concurrency, rate = excluded.rate"
)
_FORGET = delete(limits).where(limits.c.agent == bindparam("agent"))
_LIST = select(limits.c.agent, limits.c.concurrency, limits.c.rate).order_by(limits.c.agent)


@dataclass(slots=True)
class SetLimit(Statement):
    """Keep an agent's limit in place of the one before; forget one that limits nothing."""

    limit: AgentLimit

    def execute(self, connection: Connection) -> None:
        """Write or delete the agent's row."""
        if self.limit.concurrency is None and self.limit.rate is None:
            connection.execute(_FORGET, {"agent": self.limit.agent})
        else:
            connection.execute(_SET, asdict(self.limit))


def read_limits(connection: Connection) -> Sequence[AgentLimit]:
    """Return every limit that is set."""
    return [AgentLimit(**row) for row in connection.execute(_LIST).mappings()]
