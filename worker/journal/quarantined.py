"""Malformed messages, in SQL: keep and list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from envelope.ports.journal_writes import QuarantinedMessage
from worker.journal.apply import Statement
from worker.journal.clock import db_now
from worker.journal.tables import quarantine


@dataclass(slots=True)
class Keep(Statement):
    """Keep a message's description."""

    message: QuarantinedMessage

    def execute(self, connection: Connection) -> None:
        """Insert a row."""
        connection.execute(insert(quarantine).values(at=db_now(), **asdict(self.message)))


def read_quarantined(connection: Connection, limit: int) -> Sequence[Mapping[str, Any]]:
    """Return the newest messages first."""
    statement = select(quarantine).order_by(quarantine.c.number.desc()).limit(limit)
    return [dict(row) for row in connection.execute(statement).mappings()]
